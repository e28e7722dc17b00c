"""Parses the records of one chunk into rows and row errors.

Rows without any text are skipped, and so is the header where it stands once more: two exports in one file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from aiocsv import AsyncReader

from pipeline_engine.domain.imports.csv.cells import read_cells
from pipeline_engine.domain.imports.csv.chunks import Piece
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.error_csv import restored
from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.malformed import csv_format, find_malformed
from pipeline_engine.domain.imports.csv.records import Kind, Record
from pipeline_engine.domain.imports.csv.row import Row, RowError, RowMapper

PARSE_CHARS = 128 * 1024
"""Characters that are parsed before other tasks get their turn."""
READ_BYTES = 16 * 1024
"""The same for records that the csv module cannot read, which take longer."""
END_OF_FILE = "\x1a"
Place = tuple[int, Record]
"""A record and its place in the piece."""


class Parsed(NamedTuple):
    """Every row of the chunk is in one of the two lists, both in the order of the file, or counts as skipped."""

    rows: list[Row]
    errors: list[RowError]
    skipped: int


async def parse(piece: Piece, dialect: Dialect, mapper: RowMapper, *, guarded: bool = False) -> Parsed:
    """Return every row of the chunk, mapped to deal fields or as an error. `guarded`: the file is an error CSV.

    Raises: RuntimeError when the parser finds other records than the cutter did; no row is lost silently.
    """
    malformed = find_malformed(piece, dialect, mapper.width)
    rows: list[Row] = []
    errors = list(malformed.values())
    skipped = 0
    header = list(mapper.columns) if dialect.header_row and mapper.width > 1 else []
    async for place, record, cells in _read(piece, dialect, mapper.width, malformed):
        if _is_empty(cells) or cells == header:
            skipped += 1
            continue
        texts = [restored(cell) for cell in cells] if guarded else cells
        mapped = mapper.map(piece.chunk.first_row + place, record.line, texts)
        errors.append(mapped) if isinstance(mapped, RowError) else rows.append(mapped)
    return Parsed(sorted(rows, key=_number), sorted(errors, key=_number), skipped)


def _number(row: Row | RowError) -> int:
    return row.row


def _is_empty(cells: Sequence[str]) -> bool:
    """Whether a row holds nothing but blanks, or is the mark with which DOS programs end a file."""
    if cells == [END_OF_FILE]:
        return True
    return (not cells[0] or cells[0].isspace()) and not any(cell and not cell.isspace() for cell in cells)


async def _read(
    piece: Piece, dialect: Dialect, width: int, malformed: dict[int, RowError]
) -> AsyncIterator[tuple[int, Record, list[str]]]:
    """The records that are not malformed, with their cells: first those that the csv module reads."""
    sound = [(place, record) for place, record in enumerate(piece.records) if place not in malformed]
    plain = [one for one in sound if one[1].kind is Kind.OK] if csv_format(dialect) else []
    parsed = 0
    reader = AsyncReader(_Text(_text_of(piece, plain)), **csv_format(dialect)) if plain else _nothing()
    async for cells in reader:
        if cells:  # a blank line is no record
            yield *plain[parsed], cells
            parsed += 1
    if parsed != len(plain):
        raise RuntimeError(f"chunk {piece.chunk.n}: {len(plain)} records were cut but {parsed} parsed")
    if len(plain) < len(sound):
        odd = sound if not plain else [one for one in sound if one[1].kind is not Kind.OK]
        async for place, record, cells in _read_odd(piece, dialect, width, odd):
            yield place, record, cells


async def _nothing() -> AsyncIterator[list[str]]:
    for _ in range(0):
        yield []


async def _read_odd(
    piece: Piece, dialect: Dialect, width: int, records: Sequence[Place]
) -> AsyncIterator[tuple[int, Record, list[str]]]:
    grammar = Grammar.of(dialect)
    done = 0
    for place, record in records:
        raw = piece.raw(record)
        cells = read_cells(raw, grammar, width if record.kind is Kind.ODD else 0)
        yield place, record, [cell.decode() for cell in cells]
        done += len(raw)
        if done > READ_BYTES:
            done = 0
            await asyncio.sleep(0)


def _text_of(piece: Piece, records: Sequence[Place]) -> str:
    data = piece.data
    if len(records) < len(piece.records):
        data = b"".join(piece.raw(record) for _, record in records)
    text = data.decode()
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
