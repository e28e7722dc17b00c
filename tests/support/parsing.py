"""A whole CSV file through detection, header, mapping, cutting and parsing."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.imports.csv.chunks import ChunkCutter
from pipeline_engine.domain.imports.csv.dialect import detect
from pipeline_engine.domain.imports.csv.error_csv import is_report
from pipeline_engine.domain.imports.csv.header import find_header
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.csv.parse import Parsed, parse
from pipeline_engine.domain.imports.csv.row import RowMapper


async def parse_file(
    data: bytes, mappings: dict[str, str], options: dict[str, Any] | None = None, rows: int = 500
) -> Parsed:
    """The whole way of a file, as the flow goes it."""
    dialect = detect(data, options or {}, list(mappings), whole=True)
    header = find_header(data, dialect, whole=True)
    assert header is not None
    mapper = RowMapper(compile_mapping(mappings, header.columns))
    cutter = ChunkCutter(dialect, width=len(header.columns), start=header.start, line=header.line, rows=rows)
    whole, skipped = Parsed([], [], 0), 0
    for piece in cutter.feed(data[header.start :]) + cutter.close():
        done = await parse(piece, dialect, mapper, guarded=is_report(header.columns))
        numbers = [row.row for row in done.rows] + [error.row for error in done.errors]
        assert len(set(numbers)) + done.skipped == len(numbers) + done.skipped == piece.chunk.rows
        assert set(numbers) <= set(range(piece.chunk.first_row, piece.chunk.first_row + piece.chunk.rows))
        assert done.errors == sorted(done.errors)
        whole.rows.extend(done.rows)
        whole.errors.extend(done.errors)
        skipped += done.skipped
    return whole._replace(skipped=skipped)


async def parse_two_columns(body: bytes, **options: Any) -> Parsed:
    """A file of the columns Name and Value."""
    return await parse_file(
        b"Name,Value\n" + body, {"Name": "name", "Value": "value"}, {"delimiter": ",", "encoding": "utf-8", **options}
    )


def error_places(parsed: Parsed) -> list[tuple[int, int, str]]:
    return [(error.row, error.line, error.code) for error in parsed.errors]
