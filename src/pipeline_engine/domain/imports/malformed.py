"""Records that the CSV parser must not see, because they would end the whole chunk or end up unreadable."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from functools import cache

from pipeline_engine.domain.imports.chunks import SHOWN, Piece
from pipeline_engine.domain.imports.detect import Dialect
from pipeline_engine.domain.imports.mapping import MOST_COLUMNS
from pipeline_engine.domain.imports.records import Kind, Record
from pipeline_engine.domain.imports.row import RowError
from pipeline_engine.domain.imports.values import LARGEST_FIELD

MESSAGES = {
    "too_large": "the row is larger than 1 MB",
    "unclosed": "a quote opens in this row and never closes",
    "nul": "the row holds a NUL character",
    "encoding": "the row holds bytes that are not {encoding} text",
    "ragged": f"the row has more than {MOST_COLUMNS} cells",
    "field_too_large": "a cell is larger than 64 KB",
}


def unfit_records(piece: Piece, dialect: Dialect) -> dict[int, RowError]:
    """{place in the piece: what is wrong} of the records that are to be left out."""
    found = {}
    for place in _suspects(piece, dialect.encoding):
        record = piece.records[place]
        raw = piece.data[record.start - piece.chunk.start : record.end - piece.chunk.start]
        if code := _fault(record, raw, dialect):
            message = MESSAGES[code].format(encoding=dialect.encoding.upper())
            row = piece.chunk.first_row + place
            found[place] = RowError(row, record.line, None, code, message, _readable(raw, dialect))
    return found


def _suspects(piece: Piece, encoding: str) -> Iterable[int]:
    everybody = range(len(piece.records))
    if piece.chunk.kind is not Kind.OK or b"\0" in piece.data or not _decodes(piece.data, encoding):
        return everybody
    return [n for n in everybody if piece.records[n].end - piece.records[n].start > LARGEST_FIELD]


def _fault(record: Record, raw: bytes, dialect: Dialect) -> str | None:
    if record.kind is not Kind.OK:
        return record.kind.value
    if b"\0" in raw:
        return "nul"
    if not _decodes(raw, dialect.encoding):
        return "encoding"
    return _fault_of_large(raw, dialect) if len(raw) > LARGEST_FIELD else None


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _fault_of_large(raw: bytes, dialect: Dialect) -> str | None:
    # A million cells are counted, not made: making them would hold up the loop.
    if _crowded(dialect.separator).match(raw):
        return "ragged"
    try:
        cells = _cells(raw.decode(dialect.encoding), dialect)
    except csv.Error:  # beyond the csv module's own 128 K characters
        return "field_too_large"
    return "field_too_large" if any(len(cell.encode()) > LARGEST_FIELD for cell in cells) else None


@cache
def _crowded(separator: bytes) -> re.Pattern[bytes]:
    delimiter = re.escape(separator)
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"|(?!"))[^%s\r\n]*+' % delimiter
    return re.compile(b"(?:" + field + delimiter + b"){%d}+" % MOST_COLUMNS)


def _readable(raw: bytes, dialect: Dialect) -> list[str]:
    """The cells of a bad record: all of a small one, of a large one those at its beginning."""
    text = (raw if len(raw) <= LARGEST_FIELD else raw[:SHOWN]).decode(dialect.encoding, errors="replace")
    return _cells(text.replace("\0", "\ufffd"), dialect)[:MOST_COLUMNS]


def _cells(text: str, dialect: Dialect) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter), [])
