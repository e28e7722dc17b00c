"""Tier two: clones one step. Its images and forms first, so that the map from old to new is whole; then its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.finish import end_if_all_steps_ended
from pipeline_engine.domain.funnels.placeholders import PROCESSED
from pipeline_engine.domain.funnels.render import Rendered, render_step
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, expected, full, where
from pipeline_engine.repos.client import is_away

CRASHES = 5
"""So many processes in a row may die on a step, none of the steps that were held with it getting done in between. More
than three, for the others are not to blame."""

log = logs.get(__name__)

Document = Mapping[str, Any]


async def run_step(app: App, cache: CloneCache, step_id: ObjectId) -> Outcome | None:
    """Claim the step and clone it; None when it has ended or is somebody else's."""
    held = await app.funnel_steps.claim(step_id)
    if held is None:
        return None
    clone = await app.funnels.get(held["clone_id"])
    if clone is None or not _goes_on(clone):
        await app.funnel_steps.release_unchanged(held)
        return None
    with app.heartbeat.holding("funnel.step", step_id):
        try:
            outcome = await _attempt(app, cache, held, clone)
        except LeaseLost:
            await app.funnel_steps.release_unchanged(held)
            return None
    await end_if_all_steps_ended(app, clone, cache.progress)
    return outcome


def _goes_on(clone: Document) -> bool:
    """Whether its steps may still be worked off."""
    state = clone.get("clone") or {}
    return bool(state.get("planned")) and clone.get("in_progress") is True and not state.get("cancel_requested")


async def _attempt(app: App, cache: CloneCache, held: Document, clone: Document) -> Outcome | None:
    try:
        if held["crashes"] >= CRASHES:
            raise Permanent(f"{CRASHES} processes ended while they ran this step", "poison")
        clone_map = await cache.clone_maps.of(app, clone)
        await _write(app, clone_map, held, await render_step(app, cache, clone_map, held["original_step_id"]))
    except LeaseLost:
        raise
    except Exception as error:
        if is_away(error):
            raise
        return await _failed(app, held, error)
    return None


async def _write(app: App, clone_map: CloneMap, held: Document, new: Rendered) -> None:
    """Components, then the step: only with its page is it done."""
    now = await app.funnels.get(clone_map.clone["_id"])
    if now is None or now["token"] != clone_map.clone["token"] or not _goes_on(now) or not app.heartbeat.trusted:
        raise LeaseLost(f"step {held['_id']}: its clone does not go on")
    if not await app.components.write(clone_map.clone, held, new.components, new.errors):
        raise LeaseLost(f"step {held['_id']} was taken over")
    changes = {"raw_html": new.html, "processed": dict(PROCESSED), "clone_counts": new.counts, "last_error": None}
    if not await app.funnel_steps.end(held, "done", **changes):
        raise LeaseLost(f"step {held['_id']} was taken over")
    if held["crashes"]:
        await app.funnel_steps.acquit(clone_map.clone)
    log.info("step cloned", funnel_id=str(held["clone_id"]), step_id=str(held["_id"]), **new.counts)


async def _failed(app: App, held: Document, error: Exception) -> Outcome | None:
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    log.warning("step attempt failed", step_id=str(held["_id"]), attempt=held["attempts"], **facts)
    if isinstance(error, Permanent) or held["attempts"] >= app.settings.clone_attempts:
        await app.funnel_steps.end(held, "failed", last_error=full(error), failures=held["attempts"])
        return None
    await app.funnel_steps.release(held, full(error))
    return Snooze(after=app.settings.clone_retry_seconds)
