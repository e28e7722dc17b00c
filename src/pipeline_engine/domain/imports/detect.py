"""What kind of file this is: encoding, delimiter and header, from its first bytes and from what the user says.

Harder cases (other encodings, a header further down, odd quotes) belong into `_encoding` and `_delimiter`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.records import BOM
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused, shown

ENOUGH = 64 * 1024
"""More of the file is not looked at."""
DELIMITERS = ",;\t|"
ENCODINGS = ("utf-8", "cp1252", "iso8859-1", "iso8859-15")
"""Python's names. All keep the ASCII bytes to ASCII characters: the cutting of records rests on that."""
SAVE_AGAIN = "save it as CSV in UTF-8 and import that"
MAGIC = (
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"\x1f\x8b", "gzip-compressed"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
    (b"\xfd7zXZ\x00", "xz-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
)
CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1b")
MOST_CONTROLS = 0.2
LEAST_ALIKE = 0.5


class Dialect(NamedTuple):
    """How to read the file. `header_row` is 1 or, without a header, 0; `confidence` goes from 0 to 1 (certain)."""

    encoding: str
    delimiter: str
    quote: str
    header_row: int
    confidence: float

    @property
    def separator(self) -> bytes:
        """The delimiter as it stands in the file."""
        return self.delimiter.encode("ascii")


def detect(head: bytes, told: Mapping[str, Any], *, whole: bool) -> Dialect:
    """The dialect of a file that begins with `head` (`whole`: and also ends there).

    `told` is the import's `additional_data`; its `delimiter`, `encoding` and `has_header` win over what is found.

    Raises: ImportRefused `empty`; `unreadable` when this is no text that we can decode; `encoding`, `delimiter`,
    `has_header` when what is told makes no sense.
    """
    if whole and not head.removeprefix(BOM).strip(b"\r\n"):
        raise ImportRefused("the file is empty: it needs a header line and rows below it", "empty")
    _refuse_what_is_no_text(head)
    encoding = _encoding(told.get("encoding"))
    delimiter = _told_delimiter(told.get("delimiter"))
    confidence = 1.0
    if delimiter is None:
        text = head[:ENOUGH].removeprefix(BOM).decode(encoding, errors="replace")
        delimiter, confidence = _delimiter(text, whole=whole and len(head) <= ENOUGH)
    return Dialect(encoding, delimiter, '"', 1 if _has_header(told.get("has_header")) else 0, confidence)


def _refuse_what_is_no_text(head: bytes) -> None:
    for magic, name in MAGIC:
        if head.startswith(magic):
            raise ImportRefused(f"the file is {name}, not CSV in UTF-8: {SAVE_AGAIN}", UNREADABLE)
    sample = head[:ENOUGH]
    if len(sample) - len(sample.translate(None, CONTROLS)) > MOST_CONTROLS * len(sample):
        raise ImportRefused(f"the file holds binary data, not text: {SAVE_AGAIN}", UNREADABLE)


def _encoding(told: object) -> str:
    if told is None:
        return "utf-8"
    name = _codec(told) if isinstance(told, str) else None
    if name is None or name not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise ImportRefused(f"encoding {shown(told)} is not supported; possible are {allowed}", "encoding")
    return name


def _codec(told: str) -> str | None:
    try:
        return codecs.lookup(told).name.removesuffix("-sig")
    except (LookupError, ValueError):
        return None


def _told_delimiter(told: object) -> str | None:
    if told is None:
        return None
    if not isinstance(told, str) or len(told) != 1 or told not in DELIMITERS:
        raise ImportRefused(f"delimiter {shown(told)} is not supported; possible are , ; | and tab", "delimiter")
    return told


def _has_header(told: object) -> bool:
    if told is None:
        return True
    if not isinstance(told, bool):
        raise ImportRefused(f"has_header is {shown(told)}; it must be true or false", "has_header")
    return told


def _delimiter(text: str, *, whole: bool) -> tuple[str, float]:
    """The delimiter under which the rows are most alike, and the share of rows that are as wide as the first."""
    fits = {delimiter: _fit(text, delimiter, whole=whole) for delimiter in DELIMITERS}
    best = max(fits, key=lambda delimiter: fits[delimiter])
    several, share = fits[best]
    # A single column has no delimiter that could prove it.
    return best, round(share if several else share / 2, 3)


def _fit(text: str, delimiter: str, *, whole: bool) -> tuple[float, float]:
    widths = [len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    if not whole and len(widths) > 1:
        widths.pop()  # cut in the middle
    width = widths[0] if widths else 1
    share = widths.count(width) / max(1, len(widths))
    # Many columns that agree are stronger evidence than few; under one column nothing can disagree.
    return (share * width if width > 1 and share >= LEAST_ALIKE else 0.0), share
