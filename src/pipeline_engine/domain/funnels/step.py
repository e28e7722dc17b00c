"""Tier two: clones one step. Its images and forms first, so that the map from old to new is whole; then its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.blueprint import Blueprint
from pipeline_engine.domain.funnels.desk import Desk
from pipeline_engine.domain.funnels.finish import settle
from pipeline_engine.domain.funnels.placeholders import PROCESSED
from pipeline_engine.domain.funnels.redraw import Redrawn, redraw
from pipeline_engine.errors import Permanent, Stale
from pipeline_engine.lanes import Outcome, Release
from pipeline_engine.lanes.verdict import brief, expected, full, where
from pipeline_engine.repos.client import is_away

CRASHES = 5
"""So many processes in a row may die on a step, none of the steps that were held with it getting done in between. More
than three, for the others are not to blame."""

log = logs.get(__name__)

Document = Mapping[str, Any]


async def run_step(app: App, desk: Desk, step_id: ObjectId) -> Outcome | None:
    """Claim the step and clone it; None when it has ended or is somebody else's."""
    held = await app.funnel_steps.claim(step_id)
    if held is None:
        return None
    clone = await app.funnels.get(held["clone_id"])
    if clone is None or not _goes_on(clone):
        await app.funnel_steps.let_go(held)
        return None
    with app.heartbeat.holding("funnel.step", step_id):
        try:
            outcome = await _attempt(app, desk, held, clone)
        except Stale:
            await app.funnel_steps.let_go(held)
            return None
    await settle(app, clone, desk.progress)
    return outcome


def _goes_on(clone: Document) -> bool:
    """Whether its steps may still be worked off."""
    state = clone.get("clone") or {}
    return bool(state.get("planned")) and clone.get("in_progress") is True and not state.get("cancel_requested")


async def _attempt(app: App, desk: Desk, held: Document, clone: Document) -> Outcome | None:
    try:
        if held["crashes"] >= CRASHES:
            raise Permanent(f"{CRASHES} processes ended while they ran this step", "poison")
        blueprint = await desk.blueprints.of(app, clone)
        await _write(app, blueprint, held, await redraw(app, desk, blueprint, held["original_step_id"]))
    except Stale:
        raise
    except Exception as error:
        if is_away(error):
            raise
        return await _failed(app, held, error)
    return None


async def _write(app: App, blueprint: Blueprint, held: Document, new: Redrawn) -> None:
    """Components, then the step: only with its page is it done."""
    now = await app.funnels.get(blueprint.clone["_id"])
    if now is None or now["token"] != blueprint.clone["token"] or not _goes_on(now) or not app.heartbeat.trusted:
        raise Stale(f"step {held['_id']}: its clone does not go on")
    if not await app.components.write(blueprint.clone, held, new.components, new.errors):
        raise Stale(f"step {held['_id']} was taken over")
    changes = {"raw_html": new.html, "processed": dict(PROCESSED), "clone_counts": new.counts, "last_error": None}
    if not await app.funnel_steps.end(held, "done", **changes):
        raise Stale(f"step {held['_id']} was taken over")
    if held["crashes"]:
        await app.funnel_steps.acquit(blueprint.clone)
    log.info("step cloned", funnel_id=str(held["clone_id"]), step_id=str(held["_id"]), **new.counts)


async def _failed(app: App, held: Document, error: Exception) -> Outcome | None:
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    log.warning("step attempt failed", step_id=str(held["_id"]), attempt=held["attempts"], **facts)
    if isinstance(error, Permanent) or held["attempts"] >= app.settings.clone_attempts:
        await app.funnel_steps.end(held, "failed", last_error=full(error), failures=held["attempts"])
        return None
    await app.funnel_steps.give_back(held, full(error))
    return Release(after=app.settings.clone_retry_seconds)
