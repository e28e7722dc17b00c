"""Leaves out rows whose deal the account already has, where `additional_data.duplicates` asks for it.

Chunks of such an import run one after the other, so of two equal rows the first becomes the deal, also after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.row import Row
from pipeline_engine.domain.imports.csv.values import name_key, visible
from pipeline_engine.domain.imports.import_context import ImportContext
from pipeline_engine.repos.import_repos import ImportRepos

Key = tuple[str, ...]


async def find_repeated(app: App[ImportRepos], context: ImportContext, rows: Sequence[Row]) -> frozenset[int]:
    """Return the numbers of the rows that equal a deal of the account, or a row before them.

    Two are equal when all fields of `duplicates.by` are, without case; a row with one of them empty equals none.
    """
    by = context.request.unique_by
    if not by or not rows:
        return frozenset()
    keys = {row.row: key for row in rows if (key := _key(row.fields, by))}
    values = {str(row.fields[by[0]]) for row in rows if row.row in keys}
    # The database compares texts as they are but for case, and mostly keeps the spelling without what cannot be seen.
    spellings = sorted({*values, *map(visible, values)})
    owners = _first_rows(context, await app.repos.deals.like(context.request.account_id, by, spellings), by)
    return frozenset(row for row, key in keys.items() if owners.setdefault(key, row) != row)


def _first_rows(context: ImportContext, deals: Sequence[Mapping[str, Any]], by: Sequence[str]) -> dict[Key, int]:
    """{key: the row of this import whose deal has it, 0 for a deal of another origin}."""
    owners: dict[Key, int] = {}
    for deal in deals:
        if key := _key(deal, by):
            row = deal.get("import_row") if deal.get("import_id") == context.request.id else None
            owners[key] = min(owners.get(key, 2**31), row if isinstance(row, int) else 0)
    return owners


def _key(fields: Mapping[str, Any], by: Sequence[str]) -> Key | None:
    key = tuple(name_key(str(fields.get(name) or "")) for name in by)
    return key if all(key) else None
