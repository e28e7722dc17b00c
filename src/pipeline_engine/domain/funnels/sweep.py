"""Finds funnels that somebody should plan, and sees to it that what was planned goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.finish import end_if_all_steps_ended
from pipeline_engine.domain.funnels.job import STEPS, dispatch_steps, unit_of
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import LANES

AHEAD = 40 * LANES[STEPS].places

log = logs.get(__name__)


async def find(app: App) -> list[Unit]:
    """Clones that are due, and those under way."""
    return [*await _planned(app), *await _due(app, resting=False)]


async def find_all(app: App) -> list[Unit]:
    """The same, with those that rest after a failed run."""
    return [*await _planned(app), *await _due(app, resting=True)]


async def _due(app: App, resting: bool) -> list[Unit]:
    found = await app.funnels.due(app.settings.funnels_per_run, resting)
    if not found:
        log.debug("no funnel to be cloned found")
    return [unit_of(one) for one in found]


async def begun(app: App) -> list[Unit]:
    """Clones under way, and those that nobody plans any more: a process vanished, and the next look may be far."""
    return [*await _planned(app), *map(unit_of, await app.funnels.vanished())]


async def _planned(app: App) -> list[Unit]:
    """Clones that are planned: their open steps are dispatched, and those without any are ended. Most of the steps are
    in their lane already; after a crash or a loss of Redis they are not."""
    planned = await app.funnels.planned()
    if planned:
        ids = [one["_id"] for one in planned]
        await dispatch_steps(app, await app.funnel_steps.waiting(ids, AHEAD))
        at_work = await app.funnel_steps.with_open_ones(ids)
        for one in planned:
            if one["_id"] not in at_work:
                await _settle(app, one["_id"])
    return [Unit(str(one["_id"]), str(one.get("account_id"))) for one in planned]


async def _settle(app: App, funnel_id: ObjectId) -> None:
    found = await app.funnels.get(funnel_id)
    if found and (found.get("clone") or {}).get("planned"):
        await end_if_all_steps_ended(app, found)


async def held(app: App) -> int:
    """How many a daemon plans, or an older engine is at work on."""
    return await app.funnels.count_held()


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{funnel id: succeeded|failed|busy}. One whose run failed has failed, though another run may follow."""
    states = await app.funnels.states([ObjectId(id) for id in ids])
    return {str(id): _outcome(state) for id, state in states.items()}


def _outcome(state: Mapping[str, Any]) -> str:
    clone = state.get("clone") or {}
    if clone.get("finished_at"):
        return "failed" if clone.get("error") else "succeeded"
    return "failed" if clone.get("next_at") and not state.get("in_progress") else "busy"
