"""Inserts the deals of rows. A deal that an earlier attempt, or a corrected error CSV, brought in is not doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.row import Row, RowError
from pipeline_engine.domain.imports.deal import deal_id
from pipeline_engine.domain.imports.import_context import ImportContext
from pipeline_engine.domain.imports.retry_rows import twice
from pipeline_engine.repos.import_repos import ImportRepos

Deal = dict[str, Any]


class Inserted(NamedTuple):
    """How many rows became deals, how many were in by another import of the same rows, and which were refused.

    `left_out` are the numbers of the rows that became no deal of this import.
    """

    created: int
    skipped: int
    refused: list[RowError]
    left_out: frozenset[int]


async def insert(
    app: App[ImportRepos], context: ImportContext, rows: Sequence[Row], positions: Mapping[int, int]
) -> Inserted:
    """Insert a deal per row. A deal of an earlier attempt counts as created.

    `positions` are those of `retry_rows.renumber`; empty when the file is no corrected error CSV.
    """
    if not rows:
        return Inserted(0, 0, [], frozenset())
    by_number = {row.row: row for row in rows}
    stages = await context.stages.ids(row.stage for row in rows)
    deals = _marked(context, context.maker.deals(rows, stages, app.clock.now()), positions)
    refused: list[RowError] = []
    left_out: set[int] = set()
    skipped = salt = 0
    while deals:
        problems = await app.repos.deals.insert(deals)
        refused += [_refused(by_number, deals[place], positions, why) for place, why in problems.items() if why]
        left_out |= {deals[place]["import_row"] for place, why in problems.items() if why}
        taken = [deals[place] for place, why in problems.items() if not why]
        salt += 1
        deals = []
        for deal, origin in await _with_origins(app, taken):
            match _verdict(deal, origin, context.root):
                case "twice":
                    row = by_number[deal["import_row"]]
                    refused.append(twice(row, positions.get(row.row, row.row)))
                    left_out.add(row.row)
                case "skip":
                    skipped += 1
                    left_out.add(deal["import_row"])
                case "foreign":
                    deals.append({**deal, "_id": deal_id(context.root, deal["import_row"], salt)})
    return Inserted(len(rows) - skipped - len(refused), skipped, refused, frozenset(left_out))


def _marked(context: ImportContext, deals: list[Deal], positions: Mapping[int, int]) -> list[Deal]:
    if context.retry_place is None:
        return deals
    return [{**deal, "retry_of": context.root, "retry_position": positions[deal["import_row"]]} for deal in deals]


async def _with_origins(app: App[ImportRepos], deals: Sequence[Deal]) -> list[tuple[Deal, Mapping[str, Any]]]:
    """Each deal whose `_id` is taken, with the deal that has it (empty when that is gone by now)."""
    if not deals:
        return []
    origins = await app.repos.deals.origins([deal["_id"] for deal in deals])
    return [(deal, origins.get(deal["_id"], {})) for deal in deals]


def _verdict(deal: Deal, origin: Mapping[str, Any], root: Any) -> str:
    """What the deal that has the `_id` is to the row: its own deal, that of the same row by another import, …"""
    same_row = origin.get("import_row") == deal["import_row"]
    if not same_row or root not in (origin.get("import_id"), origin.get("retry_of")):
        own = same_row and origin.get("import_id") == deal["import_id"]
        return "created" if own else "foreign"
    if origin.get("import_id") != deal["import_id"]:
        return "skip"
    return "created" if origin.get("retry_position") == deal.get("retry_position") else "twice"


def _refused(by_number: Mapping[int, Row], deal: Mapping[str, Any], positions: Mapping[int, int], why: str) -> RowError:
    row = by_number[deal["import_row"]]
    return RowError(row.row, row.line, None, "insert_failed", why, row.cells)
