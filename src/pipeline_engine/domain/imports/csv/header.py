"""Finds the columns of a file and the place where its data begins."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_engine.domain.imports.csv.dialect import SAVE_AGAIN, Dialect, line_start
from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS
from pipeline_engine.domain.imports.csv.records import MAX_RECORD_BYTES
from pipeline_engine.domain.imports.csv.table_header import joined_names
from pipeline_engine.domain.imports.csv.table_reader import Format, TableRow, iterate_rows, split_lines
from pipeline_engine.domain.imports.csv.table_score import table_width
from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused

MAX_HEADER_LINES = 1000
MAX_COUNTED_ROWS = 50
"""The rows whose width says how many columns a file without a header has."""


class Header(NamedTuple):
    """`columns` as they stand in the file ("1", "2", … without a header); data from offset `start`, line `line` on."""

    columns: tuple[str, ...]
    start: int
    line: int


def find_header(head: bytes, dialect: Dialect, *, whole: bool) -> Header | None:
    """Return the header of a file that begins with `head` (`whole`: and ends there); None when it needs more.

    Raises: ImportRefused `empty`, `unreadable` (not in the encoding), `header` (longer than 1 MB, or a cell too long).
    """
    rows, complete = _first_rows(head, dialect, whole=whole)
    if not complete:
        if len(head) - dialect.start > MAX_RECORD_BYTES:
            raise _endless_header()
        return None
    if not rows:
        raise ImportRefused("the file is empty: it needs a header line and rows below it", "empty")
    return _header(head, rows, dialect)


def _first_rows(head: bytes, dialect: Dialect, *, whole: bool) -> tuple[list[TableRow], bool]:
    """The rows of the header, or the first data rows; and whether the head is long enough to be sure of them."""
    text = head[dialect.start :].decode(dialect.encoding, errors="replace").removeprefix("\ufeff")
    below = text.lstrip("\r\n")
    blank_lines = len(split_lines(text[: len(text) - len(below)])) - 1
    lines = split_lines(below, MAX_HEADER_LINES)
    if not whole or len(lines) > MAX_HEADER_LINES:
        # The last line may go on, and a line feed may follow on a carriage return.
        lines = lines[: -2 if text.endswith("\r") else -1]
    form = Format(dialect.delimiter, dialect.quote, dialect.escape)
    rows: list[TableRow] = []
    for row in iterate_rows(lines, form, first_line=dialect.line + blank_lines, max_chars=MAX_FIELD_BYTES):
        if not row.is_blank:
            rows.append(row)
        if len(rows) == (dialect.header_rows or MAX_COUNTED_ROWS):
            break
    doubtful = any(cell.startswith(dialect.quote or "\0") for row in rows[: dialect.header_rows] for cell in row.cells)
    enough = len(rows) >= max(1, dialect.header_rows) and not (doubtful and len(head) <= MAX_FIELD_BYTES)
    return rows, whole or enough


def _header(head: bytes, rows: list[TableRow], dialect: Dialect) -> Header:
    names = _named(joined_names(rows)) if dialect.header_row else list(map(str, range(1, table_width(rows) + 1)))
    if any(len(name) > MAX_FIELD_BYTES for name in names):
        raise ImportRefused("a cell of the first line is longer than any column name can be", "header")
    body = head[dialect.start :]
    line = rows[-1].line + rows[-1].lines if dialect.header_row else rows[0].line
    start = line_start(body, dialect.encoding, line - dialect.line + 1)
    if dialect.header_row:
        _refuse_undecodable(body[:start], dialect)
    return Header(tuple(names), dialect.start + start, line)


def _named(names: list[str]) -> list[str]:
    """The names without empty ones at the end that are too many: a spreadsheet may write all columns it has."""
    named = next((place for place in range(len(names), MAX_COLUMNS, -1) if names[place - 1].strip()), MAX_COLUMNS)
    return names[:named]


def _refuse_undecodable(raw: bytes, dialect: Dialect) -> None:
    try:
        raw.decode(dialect.encoding)
    except UnicodeDecodeError:
        raise ImportRefused(
            f"the first line is not {dialect.encoding.upper()} text: {SAVE_AGAIN}", UNREADABLE
        ) from None


def _endless_header() -> ImportRefused:
    return ImportRefused(
        "the first 1 MB of the file holds no whole header line; perhaps a quote in it never closes", "header"
    )
