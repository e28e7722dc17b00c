"""The rows of one chunk: bytes in, deal fields and row errors out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiocsv import AsyncReader

from pipeline_engine.domain.imports.chunks import Piece
from pipeline_engine.domain.imports.detect import Dialect
from pipeline_engine.domain.imports.malformed import unfit_records
from pipeline_engine.domain.imports.records import Record
from pipeline_engine.domain.imports.row import Row, RowError
from pipeline_engine.domain.imports.row_mapper import RowMapper

AT_ONCE = 128 * 1024
"""So many characters are parsed before other tasks get their turn."""


class Parsed(NamedTuple):
    """Every row of the chunk is in exactly one of the two, both in the order of the file."""

    rows: list[Row]
    errors: list[RowError]


async def parse(piece: Piece, dialect: Dialect, mapper: RowMapper) -> Parsed:
    """Parse and map the rows of a chunk."""
    unfit = unfit_records(piece, dialect)
    fit = [(place, record) for place, record in enumerate(piece.records) if place not in unfit]
    result = Parsed([], list(unfit.values()))
    parsed = 0
    async for cells in AsyncReader(_Text(_fit_text(piece, fit, dialect)), delimiter=dialect.delimiter):
        if cells:  # a blank line is none of our records
            place, record = fit[parsed]
            done = mapper.map(piece.chunk.first_row + place, record.line, cells)
            result.errors.append(done) if isinstance(done, RowError) else result.rows.append(done)
            parsed += 1
    if parsed != len(fit):
        raise RuntimeError(f"chunk {piece.chunk.n}: {len(fit)} records were cut but {parsed} parsed")
    result.errors.sort()
    return result


def _fit_text(piece: Piece, fit: Sequence[tuple[int, Record]], dialect: Dialect) -> str:
    data, zero = piece.data, piece.chunk.start
    if len(fit) < len(piece.records):
        data = b"".join(data[record.start - zero : record.end - zero] for _, record in fit)
    text = data.decode(dialect.encoding)
    # aiocsv loses the last row when a CR alone ends it.
    return text + "\n" if text.endswith("\r") else text


class _Text:
    """What aiocsv reads from."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    async def read(self, _size: int) -> str:
        if self._at:
            await asyncio.sleep(0)
        self._at += AT_ONCE
        return self._text[self._at - AT_ONCE : self._at]
