"""Reads a file as an import does: detection, header, the engine's own cutter and parser."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipeline_engine.domain.imports.csv.chunks import ChunkCutter
from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.header import Header, find_header
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.csv.parse import parse
from pipeline_engine.domain.imports.csv.row import RowMapper
from tests.support.polluted.score import Names, Rows


def read_polluted(data: bytes, mapped_names: Sequence[str]) -> tuple[Names, Rows]:
    """Return names and rows, those in error too; short ones are filled up, empty columns without a name cut."""
    dialect = detect(data, {}, mapped_names, whole=True)
    header = find_header(data, dialect, whole=True)
    assert header is not None
    rows = asyncio.run(_rows(data, dialect, header))
    names = list(header.columns)
    while (
        len(names) > 1
        and not (names[-1].strip() and dialect.header_row)
        and not any(cell.strip() for row in rows for cell in row[len(names) - 1 :])
    ):
        names.pop()
    return names, [_fitted(row, len(names)) for row in rows]


async def _rows(data: bytes, dialect: Dialect, header: Header) -> list[list[str]]:
    mapper = RowMapper(compile_mapping({header.columns[0].strip() or "1": "0" * 24}, header.columns))
    cutter = ChunkCutter(dialect, width=len(header.columns), start=header.start, line=header.line)
    rows: dict[int, list[str]] = {}
    for piece in cutter.feed(data[header.start :]) + cutter.close():
        parsed = await parse(piece, dialect, mapper)
        rows |= {row.row: list(row.cells) for row in parsed.rows}
        rows |= {error.row: list(error.cells) for error in parsed.errors}
    return [rows[number] for number in sorted(rows)]


def _fitted(row: list[str], width: int) -> list[str]:
    while len(row) > width and not row[-1].strip():
        row.pop()
    return row + [""] * (width - len(row))
