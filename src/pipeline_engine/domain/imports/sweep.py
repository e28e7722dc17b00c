"""Finds imports that somebody should claim."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import LANES, NewJob

PLAN = "import.plan"
LANE = LANES["deals.import"]
AHEAD = 10 * LANE.places


async def find(app: App) -> list[Unit]:
    """Due imports, every account in turn."""
    return [_unit(one["_id"], one.get("account_id")) for one in await app.imports.due(limit=AHEAD)]


def _unit(import_id: ObjectId, account_id: object) -> Unit:
    return Unit(str(import_id), str(account_id), LANE.name, NewJob(PLAN, (str(import_id),), id=str(import_id)))


async def held(app: App) -> int:
    """How many imports a daemon, or an older engine, is at work on."""
    return await app.imports.count_held()


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{queue id: succeeded|failed|busy}; what neither completed nor failed is somebody else's, or waits for a sweep."""
    words = {"completed": "succeeded", "failed": "failed", "cancelled": "failed"}
    states = await app.imports.states([ObjectId(id) for id in ids])
    return {str(id): words.get(state, "busy") for id, state in states.items()}
