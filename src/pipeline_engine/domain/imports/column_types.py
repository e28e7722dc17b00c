"""Which type each mapped column has and how its cells are written, by the account and a sample of the file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.chunks import ChunkCutter, Piece
from pipeline_engine.domain.imports.csv.columns import FieldType, Sample, ValueRules, decide
from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.error_csv import is_report
from pipeline_engine.domain.imports.csv.mapping import ColumnMap
from pipeline_engine.domain.imports.csv.parse import parse
from pipeline_engine.domain.imports.csv.row import RowMapper
from pipeline_engine.domain.imports.request import ImportRequest, corrected_import
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos

PART_BYTES = 16 * 1024
"""Bytes of the sample cut in one go; between two parts other tasks get their turn."""
Document = Mapping[str, Any]


async def decide_rules(
    app: App[ImportRepos], request: ImportRequest, columns: ColumnMap, dialect: Dialect, rows: Sequence[Sequence[str]]
) -> ValueRules:
    """Return the rules for the columns of a file whose first rows are `rows`.

    The account's country, zone and declared fields count as they are now: the import keeps the rules to its end. How
    numbers and dates are written was decided for the whole file, of which a corrected error CSV has only some rows.
    Raises: ImportRefused `retry_of` when the account has no such import.
    """
    first = await corrected_import(app, request) or {}
    account = await app.shared.accounts.get(request.account_id)
    ids = [field for field in map(object_id, columns.custom) if field]
    declared = await app.repos.custom_fields.declared(request.account_id, ids) if ids else []
    samples = column_samples(columns, rows)
    earlier = first.get("plan", {}).get("values")
    types, where = field_types(declared), _country_and_zone(account)
    return decide(samples, types, *where, dialect.delimiter, ValueRules.of(earlier).columns)


async def sample_rows(
    columns: ColumnMap, dialect: Dialect, cutter: ChunkCutter, data: bytes, *, whole: bool
) -> list[list[str]]:
    """The cells of the good rows in `data`, which begins where `cutter` does and, if it is the `whole` rest of the
    file, ends with a whole record."""
    mapper = RowMapper(columns)
    guarded = is_report(columns.columns)
    pieces: list[Piece] = []
    for at in range(0, len(data), PART_BYTES):
        pieces += cutter.feed(data[at : at + PART_BYTES])
        await asyncio.sleep(0)
    rows: list[list[str]] = []
    for piece in [*pieces, *cutter.close()]:
        rows += [row.cells for row in (await parse(piece, dialect, mapper, guarded=guarded)).rows]
    return rows if whole else rows[:-1]


def column_samples(columns: ColumnMap, rows: Sequence[Sequence[str]]) -> dict[str, Sample]:
    """{target: its name in the file and its cells that are not empty} of the mapped columns that the file has."""
    places = {
        target: place for target, place in (columns.fields | columns.custom).items() if place < len(columns.columns)
    }
    return {
        target: Sample(columns.columns[place], [cell for row in rows if (cell := row[place].strip())])
        for target, place in places.items()
    }


def field_types(declared: Sequence[Document]) -> dict[str, FieldType]:
    """{id: type} of the documents of `custom_fields`; an option may be a text or an object with `value` or `label`."""
    return {str(one["_id"]): FieldType(str(one.get("type")), _options(one.get("options"))) for one in declared}


def _options(options: object) -> tuple[str, ...]:
    named = [_option(one) for one in options] if isinstance(options, list) else []
    return tuple(option for option in named if option)


def _option(option: object) -> str:
    if isinstance(option, Mapping):
        option = next((option[name] for name in ("value", "label", "name") if isinstance(option.get(name), str)), "")
    return option if isinstance(option, str) else ""


def _country_and_zone(account: Document) -> tuple[str | None, str | None]:
    country, zone = account.get("country"), account.get("timezone")
    return (country.upper() if isinstance(country, str) and country else None), (
        zone if isinstance(zone, str) else None
    )
