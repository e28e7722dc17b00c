"""Tier two of cloning: clones one step. First its images and forms, so that the map from old to new is complete; then
its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import (
    MAX_SHARED_CRASHES,
    Claim,
    ClaimedRun,
    RunFailure,
    blames_document,
    run_claimed,
)
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.finish import end_if_all_steps_ended
from pipeline_engine.domain.funnels.outside_links import outside_links
from pipeline_engine.domain.funnels.placeholders import PROCESSED
from pipeline_engine.domain.funnels.render import Rendered, render_step
from pipeline_engine.domain.funnels.step_fields import relink_fields
from pipeline_engine.errors import LeaseLost
from pipeline_engine.lanes import Outcome
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.funnel_steps import FunnelSteps

StepClaim = Claim[FunnelSteps]
Document = Mapping[str, Any]

log = logs.get(__name__)


async def run_step(app: App[FunnelRepos], cache: CloneCache, step_id: ObjectId) -> Outcome | None:
    """Claim the step and clone it; returns None when it has ended, its clone was stopped, or another run holds it.

    Raises: what pymongo raises when MongoDB is away.
    """
    run = ClaimedRun(
        noun="step",
        work=partial(_work, app, cache),
        give_up=partial(_give_up, app, cache),
        attempts=app.settings.clone_attempts,
        pause=app.settings.clone_retry_seconds,
        crashes=MAX_SHARED_CRASHES,  # a process has up to five steps; one that is done sets the others' counts to 0
    )
    return await run_claimed(app, app.repos.funnel_steps, step_id, run, StepClaim)


async def _work(app: App[FunnelRepos], cache: CloneCache, claim: StepClaim) -> Outcome | None:
    held = claim.document
    clone = await app.repos.funnels.get(held["clone_id"])
    try:
        if clone is None or not _goes_on(clone):
            raise claim.lost()
        clone_map = await cache.clone_maps.of(app, clone)
        source_step = held["original_step_id"]
        new = await render_step(app, cache, clone_map, source_step)
        fields, warnings = await relink_fields(app, clone_map, held)
        warnings += await outside_links(app, clone_map, source_step, (new.html or "", new.components))
        await _write(app, clone_map, claim, replace(new, errors=[*new.errors, *warnings]), fields)
    except LeaseLost:
        await app.repos.funnel_steps.release_unchanged(held)
        raise
    await _end_clone(app, cache, clone)
    return None


def _goes_on(clone: Document) -> bool:
    """Whether the clone's steps may still be worked off."""
    state = clone.get("clone") or {}
    return bool(state.get("planned")) and clone.get("in_progress") is True and not state.get("cancel_requested")


async def _write(app: App[FunnelRepos], clone_map: CloneMap, claim: StepClaim, new: Rendered, fields: Document) -> None:
    """Write the components and then the step with its page, which is done only with this second update."""
    held = claim.document
    now = await app.repos.funnels.get(clone_map.clone["_id"])
    if now is None or now["token"] != clone_map.clone["token"] or not _goes_on(now):
        raise LeaseLost(f"step {held['_id']}: its clone does not go on")
    claim.check()
    if not await app.repos.components.write(clone_map.clone, held, new.components, new.errors):
        raise claim.lost()
    changes = {"raw_html": new.html, "processed": dict(PROCESSED), "clone_counts": new.counts, "last_error": None}
    if not await app.repos.funnel_steps.end(held, "done", **fields, **changes):
        raise claim.lost()
    if held["crashes"]:
        await app.repos.funnel_steps.reset_crashes(clone_map.clone)
    log.info("step.cloned", funnel_id=str(held["clone_id"]), step_id=str(held["_id"]), **new.counts)


async def _give_up(app: App[FunnelRepos], cache: CloneCache, claim: StepClaim, failure: RunFailure) -> Outcome | None:
    held = claim.document
    await app.repos.funnel_steps.end(held, "failed", last_error=failure.message, failures=held["attempts"])
    if clone := await app.repos.funnels.get(held["clone_id"]):
        await _end_clone(app, cache, clone)
    return None


async def run_end(app: App[FunnelRepos], cache: CloneCache, funnel_id: ObjectId) -> None:
    """End a planned clone if all its steps have ended or were set aside.

    The process that ended the last one died before it could, or the others could not be claimed.
    """
    found = await app.repos.funnels.get(funnel_id)
    if not found or not (found.get("clone") or {}).get("planned"):
        return
    await _end_clone(app, cache, found, await app.repos.funnel_steps.available())


async def _end_clone(
    app: App[FunnelRepos], cache: CloneCache, clone: Document, counted: dict[str, Any] | None = None
) -> None:
    """End a planned clone if all its steps that count have ended.

    A clone that cannot be ended or changed is set aside; its steps are not to blame.
    """
    try:
        await end_if_all_steps_ended(app, clone, cache.progress, counted)
    except Exception as error:
        if not blames_document(error):
            raise
        await app.repos.funnels.set_aside(clone["_id"], f"cannot be ended: {full(error)}")
