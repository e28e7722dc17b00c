"""Detects encoding, delimiter and header of a file, from its first bytes and from what its user says.

Harder cases (other encodings, a header further down, odd quotes) belong in `_encoding` and `_find_delimiter`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.records import BOM
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused, quoted

SAMPLE_BYTES = 64 * 1024
"""The bytes at the beginning of the file that detection reads."""
DELIMITERS = ",;\t|"
ENCODINGS = ("utf-8", "cp1252", "iso8859-1", "iso8859-15")
"""Python's names. In all of them an ASCII byte is an ASCII character: `RecordCutter` relies on that."""
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
MAX_CONTROL_SHARE = 0.2
MIN_EQUAL_SHARE = 0.5


class Dialect(NamedTuple):
    """How to read the file, and how sure that is."""

    encoding: str
    """Python's name, e.g. "utf-8", "utf-16-le", "cp1252"."""
    delimiter: str
    """One or more characters; "" = a single column."""
    quote: str
    """'"', "'" or "" (none)."""
    escape: str
    """How a quote inside a quoted cell is written: "double" | "backslash" | ""."""
    header_row: int
    """The physical line of the first header row, from 1; 0 = no header."""
    header_rows: int
    """How many rows form the header (their names are joined by a space)."""
    confidence: float
    """0 to 1 (certain)."""
    runner_up: str
    """The second-best reading, in words; "" when there is none."""
    start: int = 0
    """Raw offset of the first byte of the table (behind BOM, `sep=` line, preamble)."""
    line: int = 1
    """The physical line there."""
    end_line: int = 0
    """The last line of the table when a footer or another table follows (0 = to the end of the file)."""
    skipped: tuple[str, ...] = ()
    """What of the file is no part of the table: "lines 1-2 before the header", ..."""

    @property
    def separator(self) -> bytes:
        """The delimiter as it stands in the file."""
        return self.delimiter.encode("ascii")


def stored_dialect(stored: Mapping[str, Any]) -> Dialect:
    """Return a dialect out of a queue document; one that an older version stored has fewer fields."""
    header_row = int(stored["header_row"])
    older = {"escape": "double", "header_rows": min(header_row, 1), "runner_up": ""}
    fields = {**older, **stored, "skipped": tuple(stored.get("skipped", ()))}
    return Dialect(**{name: fields[name] for name in Dialect._fields if name in fields})


def detect(head: bytes, options: Mapping[str, Any], *, whole: bool) -> Dialect:
    """Return the dialect of a file that begins with `head` (`whole`: and ends there).

    `options` are the import's `additional_data`; its `delimiter`, `encoding` and `has_header` win over what is found.

    Raises: ImportRefused `empty`; `unreadable` when this is not text that the engine can decode; `encoding`,
    `delimiter`, `has_header` when that option has a value that is not allowed.
    """
    if whole and not head.removeprefix(BOM).strip(b"\r\n"):
        raise ImportRefused("the file is empty: it needs a header line and rows below it", "empty")
    _refuse_binary(head)
    encoding = _encoding(options.get("encoding"))
    delimiter = _read_delimiter(options.get("delimiter"))
    confidence = 1.0
    if delimiter is None:
        text = head[:SAMPLE_BYTES].removeprefix(BOM).decode(encoding, errors="replace")
        delimiter, confidence = _find_delimiter(text, whole=whole and len(head) <= SAMPLE_BYTES)
    header_row = 1 if _has_header(options.get("has_header")) else 0
    return Dialect(encoding, delimiter, '"', "double", header_row, header_row, confidence, "")


def _refuse_binary(head: bytes) -> None:
    for magic, name in MAGIC:
        if head.startswith(magic):
            raise ImportRefused(f"the file is {name}, not CSV in UTF-8: {SAVE_AGAIN}", UNREADABLE)
    sample = head[:SAMPLE_BYTES]
    if len(sample) - len(sample.translate(None, CONTROLS)) > MAX_CONTROL_SHARE * len(sample):
        raise ImportRefused(f"the file holds binary data, not text: {SAVE_AGAIN}", UNREADABLE)


def _encoding(option: object) -> str:
    if option is None:
        return "utf-8"
    name = _codec(option) if isinstance(option, str) else None
    if name is None or name not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise ImportRefused(f"encoding {quoted(option)} is not supported; possible are {allowed}", "encoding")
    return name


def _codec(name: str) -> str | None:
    try:
        return codecs.lookup(name).name.removesuffix("-sig")
    except (LookupError, ValueError):
        return None


def _read_delimiter(option: object) -> str | None:
    if option is None:
        return None
    if not isinstance(option, str) or len(option) != 1 or option not in DELIMITERS:
        raise ImportRefused(f"delimiter {quoted(option)} is not supported; possible are , ; | and tab", "delimiter")
    return option


def _has_header(option: object) -> bool:
    if option is None:
        return True
    if not isinstance(option, bool):
        raise ImportRefused(f"has_header is {quoted(option)}; it must be true or false", "has_header")
    return option


def _find_delimiter(text: str, *, whole: bool) -> tuple[str, float]:
    """The delimiter for which the rows are most alike, and the share of rows that are as wide as the first."""
    fits = {delimiter: _fit(text, delimiter, whole=whole) for delimiter in DELIMITERS}
    best = max(fits, key=lambda delimiter: fits[delimiter])
    several, share = fits[best]
    # A single column is weak evidence: no delimiter proves it.
    return best, round(share if several else share / 2, 3)


def _fit(text: str, delimiter: str, *, whole: bool) -> tuple[float, float]:
    widths = [len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    if not whole and len(widths) > 1:
        widths.pop()  # the sample may end in the middle of a row
    width = widths[0] if widths else 1
    share = widths.count(width) / max(1, len(widths))
    # Many columns that agree are stronger evidence than few; with one column nothing can disagree.
    return (share * width if width > 1 and share >= MIN_EQUAL_SHARE else 0.0), share
