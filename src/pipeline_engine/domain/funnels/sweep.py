"""Finds clones that are due to be planned, and planned ones with open steps or whose end a crash prevented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.jobs import CLONE, END, STEP
from pipeline_engine.domain.unit import Unit
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.funnel_repos import FunnelRepos

MAX_STEPS_FOUND = 40 * STEP.lane.places

log = logs.get(__name__)


async def find(app: App[FunnelRepos]) -> list[Unit]:
    """Clones that are planned, and clones that are due."""
    return [*await _under_way(app), *await _due(app, resting=False)]


async def find_due_now(app: App[FunnelRepos]) -> list[Unit]:
    """As `find`, and also clones that rest after a failed run."""
    return [*await _under_way(app), *await _due(app, resting=True)]


async def find_abandoned(app: App[FunnelRepos]) -> list[Unit]:
    """Clones that are planned, and clones whose process died while it planned them."""
    return [*await _under_way(app), *map(_clone, await app.repos.funnels.find_abandoned())]


async def _due(app: App[FunnelRepos], resting: bool) -> list[Unit]:
    found = await app.repos.funnels.find_due(app.settings.funnels_per_run, resting)
    if not found:
        log.debug("clones.not_found")
    return [_clone(one) for one in found]


def _clone(funnel: Mapping[str, Any]) -> Unit:
    return Unit.of(CLONE, funnel["_id"], funnel.get("account_id"))


async def _under_way(app: App[FunnelRepos]) -> list[Unit]:
    """Planned clones, each with the jobs of its unclaimed steps or, without any open step, with the job that ends it.

    Most of these jobs are in their lane already; after a crash or a loss of Redis they are not.
    """
    planned = await app.repos.funnels.find_planned()
    if not planned:
        return []
    ids = [one["_id"] for one in planned if isinstance(one["_id"], ObjectId)]
    waiting = await app.repos.funnel_steps.find_unclaimed(ids, MAX_STEPS_FOUND)
    at_work = await app.repos.funnel_steps.clones_with_open_steps(ids)
    good = [one for one in planned if isinstance(one["_id"], ObjectId)]
    bad = [Unit.of(END, one["_id"], one.get("account_id")) for one in planned if one not in good]
    return [*bad, *(_planned(one, waiting.get(one["_id"], ()), one["_id"] in at_work) for one in good)]


def _planned(funnel: Document, steps: Sequence[ObjectId], has_open_steps: bool) -> Unit:
    jobs = [(STEP, step) for step in steps] if has_open_steps else [(END, funnel["_id"])]
    return Unit(str(funnel["_id"]), str(funnel.get("account_id")), tuple(jobs))


async def count_claimed(app: App[FunnelRepos]) -> int:
    """How many clones a run is planning, or an older engine is at work on."""
    return await app.repos.funnels.count_claimed()


async def outcomes(app: App[FunnelRepos], ids: Sequence[str]) -> dict[str, str]:
    """{funnel id: succeeded|failed|busy}. A clone whose run failed counts as failed, though another run may follow."""
    states = await app.repos.funnels.states([ObjectId(id) for id in ids], "in_progress", "clone")
    return {str(id): _outcome(state) for id, state in states.items()}


def _outcome(state: Mapping[str, Any]) -> str:
    clone = state.get("clone") or {}
    if clone.get("finished_at"):
        return "failed" if clone.get("error") else "succeeded"
    return "failed" if clone.get("next_at") and not state.get("in_progress") else "busy"
