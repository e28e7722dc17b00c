"""Finds imports that are due."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.jobs import IMPORT
from pipeline_engine.domain.unit import Unit
from pipeline_engine.repos.import_repos import ImportRepos

MAX_FOUND = 10 * IMPORT.lane.places


async def find(app: App[ImportRepos]) -> list[Unit]:
    """Due imports; accounts take turns."""
    found = await app.repos.imports.find_due(limit=MAX_FOUND)
    return [Unit.of(IMPORT, one["_id"], one.get("account_id")) for one in found]


async def count_claimed(app: App[ImportRepos]) -> int:
    """How many imports a run or an older engine is at work on."""
    return await app.repos.imports.count_claimed()


async def outcomes(app: App[ImportRepos], ids: Sequence[str]) -> dict[str, str]:
    """{queue id: succeeded|failed|busy}.

    An import that has not ended is busy: a run holds it, or it waits for a sweep.
    """
    words = {"completed": "succeeded", "failed": "failed", "cancelled": "failed"}
    states = await app.repos.imports.states([ObjectId(id) for id in ids], "status")
    return {str(id): words.get(state["status"], "busy") for id, state in states.items()}
