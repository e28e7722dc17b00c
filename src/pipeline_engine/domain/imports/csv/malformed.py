"""Sorts out the records of a chunk that the CSV parser must not see: one of them would end the whole chunk."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from pipeline_engine.domain.imports.csv.cells import MAX_CELLS, read_cells
from pipeline_engine.domain.imports.csv.chunks import MAX_SHOWN_BYTES, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.grammar import BACKSLASH, Grammar
from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS
from pipeline_engine.domain.imports.csv.records import Kind, Record
from pipeline_engine.domain.imports.csv.row import RowError
from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES

MESSAGES = {
    "too_large": "the row is larger than 1 MB",
    "unclosed": "a quote opens in this row and never closes",
    "doubtful": "a quote opens in line {first} and closes in line {last}, but the lines between look like rows of "
    "their own: close the quote in its line, or take it out",
    "nul": "the row holds a NUL character",
    "encoding": "the row holds bytes that are not {encoding} text",
    "ragged": f"the row has more than {MAX_COLUMNS} cells",
    "field_too_large": "a cell is larger than 64 KB",
}


def csv_format(dialect: Dialect) -> dict[str, Any]:
    """Return the arguments with which the csv module reads the dialect; none when it cannot."""
    if len(dialect.delimiter) != 1 or dialect.escape == BACKSLASH or (dialect.quote and dialect.escape != "double"):
        return {}
    quoting = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": dialect.delimiter, **quoting}


def find_malformed(piece: Piece, dialect: Dialect, width: int) -> dict[int, RowError]:
    """Return {place in the piece: what is wrong} of the records that the parser must not see."""
    found = {}
    for place in _suspects(piece):
        record = piece.records[place]
        raw = piece.raw(record)
        if code := _fault(record, raw, dialect, width):
            last = record.line + record.lines - 1
            encoding = (piece.chunk.encoding or dialect.encoding).upper()
            message = MESSAGES[code].format(encoding=encoding, first=record.line, last=last)
            row = piece.chunk.first_row + place
            found[place] = RowError(row, record.line, None, code, message, _readable_cells(raw, record, dialect, width))
    return found


def _suspects(piece: Piece) -> Iterable[int]:
    places = range(len(piece.records))
    if piece.chunk.kind is not Kind.OK or b"\0" in piece.data or not _decodes(piece.data):
        return places
    return [place for place in places if piece.records[place].end - piece.records[place].start > MAX_FIELD_BYTES]


def _fault(record: Record, raw: bytes, dialect: Dialect, width: int) -> str | None:
    if not record.kind.is_row:
        return record.kind.value
    if b"\0" in raw:
        return "nul"
    if not _decodes(raw):
        return "encoding"
    return _fault_of_large(raw, record, dialect, width) if len(raw) > MAX_FIELD_BYTES else None


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fault_of_large(raw: bytes, record: Record, dialect: Dialect, width: int) -> str | None:
    # The cells are counted before any is made: making a million of them would block the event loop.
    if Grammar.of(dialect).patterns.too_many_cells.match(raw):
        return "ragged"
    try:
        cells = _cells(raw, record, dialect, width)
    except csv.Error:  # beyond the csv module's own 128 K characters
        return "field_too_large"
    return "field_too_large" if any(len(cell.encode()) > MAX_FIELD_BYTES for cell in cells) else None


def _readable_cells(raw: bytes, record: Record, dialect: Dialect, width: int) -> list[str]:
    """The cells of a malformed record: all of a small one, those at the beginning of a large one."""
    shown = raw if len(raw) <= MAX_FIELD_BYTES else raw[:MAX_SHOWN_BYTES]
    return _cells(shown.replace(b"\0", b"\xef\xbf\xbd"), record, dialect, width)[:MAX_COLUMNS]


def _cells(raw: bytes, record: Record, dialect: Dialect, width: int) -> list[str]:
    known = csv_format(dialect)
    if record.kind is Kind.ODD or not known:
        cells = read_cells(raw, Grammar.of(dialect), width if record.kind is Kind.ODD else 0)
        return [cell.decode(errors="replace") for cell in cells[:MAX_CELLS]]
    return next(csv.reader(io.StringIO(raw.decode(errors="replace"), newline=""), **known), [])
