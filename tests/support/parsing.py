"""A whole CSV file through detection, header, mapping, cutting and parsing."""

from __future__ import annotations

from typing import Any, NamedTuple

from pipeline_engine.domain.imports.column_types import column_samples, sample_rows
from pipeline_engine.domain.imports.csv.chunks import ChunkCutter
from pipeline_engine.domain.imports.csv.columns import FieldType, ValueRules, decide
from pipeline_engine.domain.imports.csv.dialect import detect
from pipeline_engine.domain.imports.csv.error_csv import is_report
from pipeline_engine.domain.imports.csv.header import find_header
from pipeline_engine.domain.imports.csv.mapping import compile_mapping, wanted_columns
from pipeline_engine.domain.imports.csv.parse import Parsed, parse
from pipeline_engine.domain.imports.csv.row import RowMapper


class Account(NamedTuple):
    """What an account says about how its files are to be read."""

    country: str | None = None
    zone: str | None = None
    custom: dict[str, FieldType] = {}  # noqa: RUF012


async def parse_file(
    data: bytes, mappings: dict[str, str], options: dict[str, Any] | None = None, rows: int = 500
) -> Parsed:
    """The whole way of a file, as the flow goes it."""
    whole, _ = await parse_typed(data, mappings, None, options, rows)
    return whole


async def parse_typed(
    data: bytes,
    mappings: dict[str, str],
    account: Account | None,
    options: dict[str, Any] | None = None,
    rows: int = 500,
) -> tuple[Parsed, ValueRules]:
    """As `parse_file`, with the values typed for the account; without one, all values stay text."""
    dialect = detect(data, options or {}, wanted_columns(mappings), whole=True)
    header = find_header(data, dialect, whole=True)
    assert header is not None
    columns = compile_mapping(mappings, header.columns)

    def cutter() -> ChunkCutter:
        return ChunkCutter(dialect, width=len(header.columns), start=header.start, line=header.line, rows=rows)

    rules = ValueRules()
    if account:
        sample = await sample_rows(columns, dialect, cutter(), data[header.start :], whole=True)
        samples = column_samples(columns, sample)
        rules = decide(samples, account.custom, account.country, account.zone, dialect.delimiter)
    mapper = RowMapper(columns, rules=ValueRules.of(rules.stored))
    whole, skipped = Parsed([], [], 0), 0
    body = cutter()
    for piece in body.feed(data[header.start :]) + body.close():
        done = await parse(piece, dialect, mapper, guarded=is_report(header.columns))
        numbers = [row.row for row in done.rows] + [error.row for error in done.errors]
        assert len(set(numbers)) + done.skipped == len(numbers) + done.skipped == piece.chunk.rows
        assert set(numbers) <= set(range(piece.chunk.first_row, piece.chunk.first_row + piece.chunk.rows))
        assert done.errors == sorted(done.errors)
        whole.rows.extend(done.rows)
        whole.errors.extend(done.errors)
        skipped += done.skipped
    return whole._replace(skipped=skipped), rules


async def parse_two_columns(body: bytes, **options: Any) -> Parsed:
    """A file of the columns Name and Value."""
    return await parse_file(
        b"Name,Value\n" + body, {"Name": "name", "Value": "value"}, {"delimiter": ",", "encoding": "utf-8", **options}
    )


def error_places(parsed: Parsed) -> list[tuple[int, int, str]]:
    return [(error.row, error.line, error.code) for error in parsed.errors]
