"""Detects how a file is to be read, from its first bytes, the names of the mapped columns and what its user says.

The encoding comes first (`encoding.py`); then every reading that may be (`table_formats.py`) is tried on the sample and
the one out of which the best table comes is taken (`table_score.py`); then the table is found (`table_layout.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.dialect_options import DialectOptions, read_options
from pipeline_engine.domain.imports.csv.encoding import MARKS, Encoding, decoded, find_encoding
from pipeline_engine.domain.imports.csv.error_csv import OWN_COLUMNS, begins_report
from pipeline_engine.domain.imports.csv.table_header import wanted_names
from pipeline_engine.domain.imports.csv.table_layout import Layout, lay_out
from pipeline_engine.domain.imports.csv.table_reader import Format, read_rows, split_lines
from pipeline_engine.domain.imports.csv.table_score import Reading, compare, confidence, runner_up
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused

SAMPLE_BYTES = 64 * 1024
"""The bytes at the beginning of the file that detection reads."""
SAVE_AGAIN = "save it as CSV in UTF-8 and import that"
MAGIC = (
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
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
SEPARATOR_LINE = re.compile(r'\s*"?sep=(.{1,4}?)"?[,;\t ]*', re.IGNORECASE)
"""The line by which a spreadsheet says which delimiter follows."""
SEPARATOR_LINE_SKIPPED = "line 1, which names the delimiter"
LINE_END = re.compile(rb"\r\n?|\n")
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space", "": "a single column"}


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
    footer: tuple[str, ...] = ()
    """The first rows that were taken for totals and notes behind the table, shortened."""
    open: bool = False
    """Whether all that was read is ASCII: the first row beyond it decides the encoding (`late_encoding.py`)."""

    @property
    def separator(self) -> bytes:
        """The delimiter in UTF-8."""
        return self.delimiter.encode()

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Dialect:
        """Return the dialect that a queue document holds; one of an older version has fewer fields."""
        older = {"escape": "double", "header_rows": min(1, stored["header_row"]), "runner_up": ""}
        lists = {name: tuple(stored.get(name, ())) for name in ("skipped", "footer")}
        fields = {**older, **stored, **lists}
        return cls(**{name: fields[name] for name in cls._fields if name in fields})


def detect(head: bytes, options: Mapping[str, Any], mapped_names: Sequence[str] = (), *, whole: bool) -> Dialect:
    """Return the dialect of a file that begins with `head` (`whole`: and ends there).

    `options` are the import's `additional_data`; its `delimiter`, `encoding` and `has_header` win over what is found,
    but not over a byte order mark, and not in an error CSV: they were given for the file of the first import.
    `mapped_names` are the columns that the import wants: a reading in which they are names of columns is right.

    Raises: ImportRefused `empty`; `unreadable` when this is not text that the engine can decode; `encoding`,
    `delimiter`, `has_header` when that option has a value that is not allowed.
    """
    chosen = read_options(options)
    sample = head[:SAMPLE_BYTES]
    if begins_report(sample):
        chosen, mapped_names = DialectOptions(None, None, None), [*mapped_names, *OWN_COLUMNS]
    whole = whole and len(head) <= SAMPLE_BYTES
    _refuse_magic(head)
    encoding = _encoding(sample, chosen.encoding, mapped_names)
    _refuse_binary(sample, encoding)
    lines = _lines(sample, encoding, whole=whole)
    if whole and not any(line.strip() for line in lines):
        raise ImportRefused("the file is empty: it needs a header line and rows below it", "empty")
    above, declared = _separator_line(lines)
    body = lines[above:]
    readings = compare(body, _delimiter(chosen.delimiter, declared, body), wanted_names(mapped_names))
    layout = _layout(body, above, readings[0].form, mapped_names, has_header=chosen.has_header, whole=whole)
    return _dialect(sample, encoding, readings, layout, above)


def _dialect(sample: bytes, encoding: Encoding, readings: Sequence[Reading], layout: Layout, above: int) -> Dialect:
    best = readings[0]
    return Dialect(
        encoding=encoding.name,
        delimiter=best.form.delimiter,
        quote=best.form.quote,
        escape=best.form.escape,
        header_row=layout.header_row,
        header_rows=layout.header_rows,
        confidence=round(min(encoding.confidence, 1.0) * confidence(readings), 3),
        runner_up=_runner_up(readings, encoding),
        start=line_start(sample, encoding.name, layout.line),
        line=layout.line,
        end_line=layout.end_line,
        skipped=(SEPARATOR_LINE_SKIPPED,) * above + layout.skipped,
        footer=layout.footer,
        open=encoding.is_open,
    )


def _layout(
    body: Sequence[str],
    above: int,
    form: Format,
    names: Sequence[str],
    *,
    has_header: bool | None,
    whole: bool,
) -> Layout:
    rows = read_rows(body, form, first_line=above + 1)
    if not any(not row.is_blank for row in rows):
        header_row = 0 if has_header is False else above + 1
        return Layout(above + 1, header_row, min(header_row, 1), 0)
    return lay_out(rows, names, has_header=has_header, whole=whole)


def _refuse_magic(head: bytes) -> None:
    for magic, name in MAGIC:
        if head.startswith(magic):
            raise ImportRefused(f"the file is {name}, not CSV in UTF-8: {SAVE_AGAIN}", UNREADABLE)


def _refuse_binary(sample: bytes, encoding: Encoding) -> None:
    text = sample[encoding.mark :]
    if encoding.name.startswith("utf-16"):
        text = decoded(text, encoding.name).encode("utf-8", errors="replace")
    if len(text) - len(text.translate(None, CONTROLS)) > MAX_CONTROL_SHARE * len(text):
        raise ImportRefused(f"the file holds binary data, not text: {SAVE_AGAIN}", UNREADABLE)


def _encoding(sample: bytes, chosen: str | None, names: Sequence[str]) -> Encoding:
    if chosen is None or sample.startswith(tuple(mark for mark, _ in MARKS)):
        return find_encoding(sample, names)
    return Encoding("utf-16-le" if chosen == "utf-16" else chosen, 0, 1.0)


def _lines(sample: bytes, encoding: Encoding, *, whole: bool) -> list[str]:
    """The physical lines of the sample; the last one is left out when it may go on behind the sample."""
    lines = split_lines(decoded(sample[encoding.mark :], encoding.name))
    return lines if whole or len(lines) < 2 else lines[:-1]


def _separator_line(lines: Sequence[str]) -> tuple[int, str | None]:
    """How many lines stand before the rest of the file (1 or 0), and the delimiter that the first of them names."""
    found = SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    return (1, found[1].replace("\\t", "\t")) if found else (0, None)


def _delimiter(chosen: str | None, declared: str | None, body: Sequence[str]) -> str | None:
    """The delimiter that is certain: the user's, or the declared one if the file has it."""
    return chosen or (declared if declared and any(declared in line for line in body) else None)


def _runner_up(readings: Sequence[Reading], encoding: Encoding) -> str:
    second = runner_up(readings)
    name = DELIMITER_NAMES.get(second.form.delimiter, repr(second.form.delimiter)) if second else ""
    parts = [f"delimiter {name}"] if second else []
    return ", ".join([*parts, *([f"encoding {encoding.runner_up}"] if encoding.runner_up else [])])


def line_start(data: bytes, encoding: str, line: int) -> int:
    """Return the offset of the first byte of a physical line of a file (1 = the first, behind a byte order mark)."""
    mark = next((len(mark) for mark, name in MARKS if name == encoding and data.startswith(mark)), 0)
    if line == 1:
        return mark
    if encoding.startswith("utf-16"):
        text = data[mark:].decode(encoding, errors="replace")
        chars = next(islice((found.end() for found in re.finditer("\r\n?|\n", text)), line - 2, None), len(text))
        return min(len(data), mark + len(text[:chars].encode(encoding)))
    # In all the other encodings the bytes of line ends are no part of other characters.
    ends = (found.end() for found in LINE_END.finditer(data))
    return next(islice(ends, line - 2, None), len(data))
