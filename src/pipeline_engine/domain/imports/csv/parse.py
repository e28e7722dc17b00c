"""Parses the records of one chunk into rows and row errors.

Records that the CSV parser must not see are sorted out first: one of them would end the whole chunk.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from aiocsv import AsyncReader

from pipeline_engine.domain.imports.csv.chunks import MAX_SHOWN_BYTES, Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS
from pipeline_engine.domain.imports.csv.records import Kind, Record
from pipeline_engine.domain.imports.csv.row import Row, RowError, RowMapper
from pipeline_engine.domain.imports.csv.values import MAX_FIELD_BYTES

PARSE_CHARS = 128 * 1024
"""Characters that are parsed before other tasks get their turn."""
MESSAGES = {
    "too_large": "the row is larger than 1 MB",
    "unclosed": "a quote opens in this row and never closes",
    "nul": "the row holds a NUL character",
    "encoding": "the row holds bytes that are not {encoding} text",
    "ragged": f"the row has more than {MAX_COLUMNS} cells",
    "field_too_large": "a cell is larger than 64 KB",
}


class Parsed(NamedTuple):
    """Every row of the chunk is in exactly one of the two lists, both in the order of the file."""

    rows: list[Row]
    errors: list[RowError]


async def parse(piece: Piece, dialect: Dialect, mapper: RowMapper) -> Parsed:
    """Return every row of the chunk, mapped to deal fields or as an error.

    Raises: RuntimeError when the parser finds other records than the cutter did; no row is lost silently.
    """
    malformed = _find_malformed(piece, dialect)
    sound = [(place, record) for place, record in enumerate(piece.records) if place not in malformed]
    result = Parsed([], list(malformed.values()))
    parsed = 0
    async for cells in AsyncReader(_Text(_text_of(piece, sound, dialect)), delimiter=dialect.delimiter):
        if cells:  # a blank line is no record
            place, record = sound[parsed]
            mapped = mapper.map(piece.chunk.first_row + place, record.line, cells)
            result.errors.append(mapped) if isinstance(mapped, RowError) else result.rows.append(mapped)
            parsed += 1
    if parsed != len(sound):
        raise RuntimeError(f"chunk {piece.chunk.n}: {len(sound)} records were cut but {parsed} parsed")
    result.errors.sort()
    return result


def _text_of(piece: Piece, sound: Sequence[tuple[int, Record]], dialect: Dialect) -> str:
    data, zero = piece.data, piece.chunk.start
    if len(sound) < len(piece.records):
        data = b"".join(data[record.start - zero : record.end - zero] for _, record in sound)
    text = data.decode(dialect.encoding)
    # aiocsv loses the last row when a CR alone ends it.
    return text + "\n" if text.endswith("\r") else text


class _Text:
    """The source that aiocsv reads from; yields to the event loop between two parts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    async def read(self, _size: int) -> str:
        if self._at:
            await asyncio.sleep(0)
        self._at += PARSE_CHARS
        return self._text[self._at - PARSE_CHARS : self._at]


def _find_malformed(piece: Piece, dialect: Dialect) -> dict[int, RowError]:
    """{place in the piece: what is wrong} of the records that the parser must not see."""
    found = {}
    for place in _suspects(piece, dialect.encoding):
        record = piece.records[place]
        raw = piece.data[record.start - piece.chunk.start : record.end - piece.chunk.start]
        if code := _fault(record, raw, dialect):
            message = MESSAGES[code].format(encoding=dialect.encoding.upper())
            row = piece.chunk.first_row + place
            found[place] = RowError(row, record.line, None, code, message, _readable_cells(raw, dialect))
    return found


def _suspects(piece: Piece, encoding: str) -> Iterable[int]:
    places = range(len(piece.records))
    if piece.chunk.kind is not Kind.OK or b"\0" in piece.data or not _decodes(piece.data, encoding):
        return places
    return [place for place in places if piece.records[place].end - piece.records[place].start > MAX_FIELD_BYTES]


def _fault(record: Record, raw: bytes, dialect: Dialect) -> str | None:
    if record.kind is not Kind.OK:
        return record.kind.value
    if b"\0" in raw:
        return "nul"
    if not _decodes(raw, dialect.encoding):
        return "encoding"
    return _fault_of_large(raw, dialect) if len(raw) > MAX_FIELD_BYTES else None


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _fault_of_large(raw: bytes, dialect: Dialect) -> str | None:
    # The cells are counted before any is made: making a million of them would block the event loop.
    if _too_many_cells(dialect.separator).match(raw):
        return "ragged"
    try:
        cells = _cells(raw.decode(dialect.encoding), dialect)
    except csv.Error:  # beyond the csv module's own 128 K characters
        return "field_too_large"
    return "field_too_large" if any(len(cell.encode()) > MAX_FIELD_BYTES for cell in cells) else None


@cache
def _too_many_cells(separator: bytes) -> re.Pattern[bytes]:
    delimiter = re.escape(separator)
    field = rb'(?:"[^"]*+(?:""[^"]*+)*+"|(?!"))[^%s\r\n]*+' % delimiter
    return re.compile(b"(?:" + field + delimiter + b"){%d}+" % MAX_COLUMNS)


def _readable_cells(raw: bytes, dialect: Dialect) -> list[str]:
    """The cells of a malformed record: all of a small one, those at the beginning of a large one."""
    text = (raw if len(raw) <= MAX_FIELD_BYTES else raw[:MAX_SHOWN_BYTES]).decode(dialect.encoding, errors="replace")
    return _cells(text.replace("\0", "\ufffd"), dialect)[:MAX_COLUMNS]


def _cells(text: str, dialect: Dialect) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter), [])
