"""Tier one: plans a clone. Its steps are named and made, empty, and each goes into the lane of tier two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.finish import clean_up, end_if_all_steps_ended, end_run, fail_clone
from pipeline_engine.domain.funnels.job import dispatch_steps
from pipeline_engine.domain.funnels.placeholders import freeze_steps, make_placeholders
from pipeline_engine.domain.funnels.source import OriginalGone, find_source
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, expected, full, where
from pipeline_engine.repos.client import is_away

CRASHES = 3
"""So many processes may die while they plan one clone."""

log = logs.get(__name__)


async def plan(app: App, cache: CloneCache, funnel_id: ObjectId) -> Outcome | None:
    """Claim the funnel and plan its clone; None when that is done, or it is not due or somebody else's."""
    held = await app.funnels.claim(funnel_id)
    if held is None:
        return None
    with app.heartbeat.holding("funnels", funnel_id):
        try:
            return await _plan(app, cache, held)
        except LeaseLost:
            return None
        except Exception as error:
            if is_away(error):
                raise
            return await _after(app, held, error)


async def _plan(app: App, cache: CloneCache, held: Mapping[str, Any]) -> Outcome | None:
    if held["clone"].get("cancel_requested"):
        return await clean_up(app, held)
    if held["clone"]["crashes"] >= CRASHES:
        await end_run(app, held, f"{CRASHES} processes ended while they planned this clone")
        return None
    source = await find_source(app, held)
    held = await make_placeholders(app, await freeze_steps(app, held, source))
    await app.funnel_steps.reopen(held)
    planned = await app.funnels.hand_to_steps(held)
    if planned is None:
        raise LeaseLost(f"clone {held['_id']} was taken over")
    log.info("clone planned", funnel_id=str(held["_id"]), steps=held["clone"]["steps_total"])
    still_open = await app.funnel_steps.open_ids(planned)
    await dispatch_steps(app, [id for id in planned["steps"] if id in still_open])
    await end_if_all_steps_ended(app, planned, cache.progress)
    return None


async def _after(app: App, held: Mapping[str, Any], error: Exception) -> Outcome | None:
    """Another attempt, unless none is left or none can help."""
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    log.warning("clone cannot be planned", funnel_id=str(held["_id"]), **facts)
    if isinstance(error, Permanent):
        gone = isinstance(error, OriginalGone)
        await fail_clone(app, held, str(error), **({"original_funnel_deleted": True} if gone else {}))
        return None
    failures = held["clone"].get("failures", 0) + 1
    if failures >= app.settings.clone_attempts:
        await end_run(app, held, full(error))
        return None
    await app.funnels.release(held, {"clone.failures": failures, "clone.error": full(error)})
    return Snooze(after=app.settings.clone_retry_seconds)
