"""Tier one of cloning: plans a clone.

It inserts the clone's steps, still empty, and enqueues a job of tier two for each.
"""

from __future__ import annotations

from functools import partial

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import CRASHED, MAX_CRASHES, Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.finish import clean_up, end_if_all_steps_ended, end_run, fail_clone
from pipeline_engine.domain.funnels.jobs import dispatch_steps
from pipeline_engine.domain.funnels.placeholders import freeze_steps, make_placeholders
from pipeline_engine.domain.funnels.source import OriginalGone, find_source, is_being_cloned
from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.lanes import Outcome
from pipeline_engine.repos.funnel_repos import FunnelRepos
from pipeline_engine.repos.funnels import Funnels

PlanClaim = Claim[Funnels]

log = logs.get(__name__)


async def run_plan(app: App[FunnelRepos], cache: CloneCache, funnel_id: ObjectId) -> Outcome | None:
    """Claim the funnel and plan its clone; returns None when it is planned, not due, or another run holds it.

    Raises: what pymongo raises when MongoDB is away.
    """
    run = ClaimedRun(
        noun="clone",
        work=partial(_plan, app, cache),
        give_up=partial(_give_up, app),
        attempts=app.settings.clone_attempts,
        pause=app.settings.clone_retry_seconds,
        crashes=MAX_CRASHES,
    )
    return await run_claimed(app, app.repos.funnels, funnel_id, run, PlanClaim)


async def _plan(app: App[FunnelRepos], cache: CloneCache, claim: PlanClaim) -> Outcome | None:
    held = claim.document
    if held["clone"].get("cancel_requested"):
        return await clean_up(app, held)
    source = await find_source(app, held)
    if is_being_cloned(source):  # since the sweep has looked, as that leaves out clones of such funnels
        raise Transient(f"the original funnel {source['_id']} is being cloned itself")
    made = await make_placeholders(app, await freeze_steps(app, held, source))
    await app.repos.funnel_steps.reopen(made)
    planned = await app.repos.funnels.hand_to_steps(made)
    if planned is None:
        raise claim.lost()
    log.info("clone.planned", funnel_id=str(made["_id"]), steps=made["clone"]["steps_total"])
    still_open = await app.repos.funnel_steps.open_ids(planned)
    await dispatch_steps(app, [id for id in planned["steps"] if id in still_open])
    await end_if_all_steps_ended(app, planned, cache.progress)
    return None


async def _give_up(app: App[FunnelRepos], claim: PlanClaim, failure: RunFailure) -> Outcome | None:
    """End the clone when no attempt can succeed; else end only this run of it, after which another may follow."""
    error = failure.error
    if isinstance(error, Permanent) and error.code != CRASHED:
        gone = {"original_funnel_deleted": True} if isinstance(error, OriginalGone) else {}
        await fail_clone(app, claim.document, str(error), **gone)
    else:
        await end_run(app, claim.document, failure.message)
    return None
