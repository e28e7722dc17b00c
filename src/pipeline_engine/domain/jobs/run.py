"""The job `crm.job`: a slice of one slot, for one account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import uniform
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import ATTEMPTS, RETRY_SECONDS, SLOT, Places
from pipeline_engine.domain.jobs.slot_id import SlotId, read_slot_id
from pipeline_engine.domain.jobs.table import JOBS, job_named
from pipeline_engine.domain.jobs.turn import Turn, turn_of
from pipeline_engine.domain.jobs.zones import zone_of
from pipeline_engine.errors import RateLimited, Transient, Unreachable
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.cron_slots import CronSlots
from pipeline_engine.repos.job_repos import JobRepos

SLICE_SECONDS = 5.0
"""After so long a job returns, and other accounts have a turn."""
HANG_SECONDS = 60.0
"""So long after its slice a job that has not returned is cancelled; that is a failed attempt."""
MAX_CRASHES = 3
SHARE_SECONDS = 5.0, 25.0
"""Between these times a slot looks again whose account or job has its share of the places."""
WAIT_SECONDS = 1.0, 3.0
"""Between these times a slot looks again that waits for another of its account."""
NOT_BEGUN = {"attempts": 0, "claims": 0, "crashes": 0}

SlotClaim = Claim[CronSlots]

log = logs.get(__name__)


@dataclass(frozen=True)
class _Run:
    app: App[JobRepos]
    id: SlotId
    job: CrmJob


async def run_slot(app: App[JobRepos], places: Places, text: str) -> Outcome | None:
    """Do the slot's work, or a slice of it. Does nothing when the slot has ended or another run has it."""
    id = read_slot_id(text)
    job = job_named(id.job) if id else None
    if id is None or job is None:
        log.warning("crm_job.unknown", id=text[:200], consequence="a newer daemon, or its slot, has to run it")
        return None
    if job.skipped(app.settings):  # another daemon dispatched it, whose sweep will do so again
        return None
    if not await places.take(id):
        return Snooze(uniform(*SHARE_SECONDS))  # noqa: S311 - so that a thousand do not come back at once
    try:
        return await _run_claimed(_Run(app, id, job))
    finally:
        places.give_back(id)


async def _run_claimed(run: _Run) -> Outcome | None:
    rules = ClaimedRun[SlotClaim](
        "crm_job", partial(_work, run), partial(_give_up, run), ATTEMPTS, RETRY_SECONDS, MAX_CRASHES
    )
    slots, id = run.app.repos.cron_slots, run.id
    if await slots.get(str(id)) is None:
        await slots.open(str(id), id.job, id.account_id, id.slot, id.is_once)
    return await run_claimed(run.app, slots, str(id), rules, Claim)


async def _work(run: _Run, claim: SlotClaim) -> Outcome | None:
    match turn_of(claim.document, await claim.repo.others(claim.document)):
        case Turn.SKIP:
            return await _end(run, claim, "skipped", error="a later slot has begun")
        case Turn.WAIT:
            is_fresh = claim.document["claims"] == 1
            await claim.release(**(NOT_BEGUN if is_fresh else {"attempts": 0, "crashes": 0}))
            return Snooze(uniform(*WAIT_SECONDS))  # noqa: S311 - so that two do not meet again
    account = await run.app.shared.accounts.get(run.id.account_id)
    if account.get("active", True) is False or not account:
        return await _end(run, claim, "skipped", error="the account is not active")
    return await _slice(run, claim, account)


async def _slice(run: _Run, claim: SlotClaim, account: dict[str, Any]) -> Outcome | None:
    profile = await run.app.repos.business_profiles.get(run.id.account_id)
    until = time.monotonic() + SLICE_SECONDS
    zone, now = zone_of(profile, account), run.app.clock.now()
    cursor = claim.document.get("cursor") or {}
    work = JobWork(run.app, account, profile, zone, run.id.slot, now, until, cursor, claim.check)
    try:
        result = await _within(run.job, work)
    except RateLimited as limit:
        again = now + timedelta(seconds=limit.retry_after)
        await claim.release(attempts=0, crashes=0, next_at=again, error=str(limit))
        return Snooze(limit.retry_after)
    return await _settle(run, claim, result)


async def _within(job: CrmJob, work: JobWork) -> JobResult:
    """The job's result. Raises: Transient when it does not return in time, and what it raises itself."""
    allowed = SLICE_SECONDS + HANG_SECONDS
    try:
        async with asyncio.timeout(allowed) as limit:
            return await job.run(work)
    except TimeoutError:
        if not limit.expired():
            raise
        raise Transient(f"the job did not return within {allowed:g} s") from None


async def _settle(run: _Run, claim: SlotClaim, result: JobResult) -> Outcome | None:
    counts = added(claim.document.get("counts") or {}, result)
    if result.more:
        await claim.release(attempts=0, crashes=0, counts=counts, cursor=result.cursor, error=None)
        return Snooze()
    if result.skipped:
        return await _end(run, claim, "skipped", counts=counts, error=result.skipped)
    return await _end(run, claim, "done", counts=counts, error=None)


def added(counts: Mapping[str, Any], result: JobResult) -> dict[str, int]:
    """The counts of the slot so far with those of a slice. A slice that crashed is not among them. Pure."""
    new = {"done": result.done, "failed": result.failed}
    return {name: int(counts.get(name) or 0) + count for name, count in new.items()}


async def _give_up(run: _Run, claim: SlotClaim, failure: RunFailure) -> Outcome | None:
    return await _end(run, claim, "failed", error=failure.message)


async def _end(run: _Run, claim: SlotClaim, state: str, **values: Any) -> Outcome | None:
    claim.keep(await claim.repo.end(claim.document, state, **values))
    row = claim.document
    ids = {"job": run.id.job, "account_id": str(run.id.account_id), "slot": run.id.slot}
    say = log.warning if state == "failed" else log.info if any((row.get("counts") or {}).values()) else log.debug
    say("crm_job.ended", **ids, state=state, counts=row.get("counts"), reason=row.get("error"))
    await _wake_followers(run)
    return None


async def _wake_followers(run: _Run) -> None:
    """Have the jobs run that follow this one in its slot; without Redis their sweeps find them."""
    followers = [job.name for job in JOBS if run.job.name in job.after and not job.skipped(run.app.settings)]
    ids = [str(SlotId(name, run.id.account_id, run.id.slot)) for name in followers]
    try:
        if ids and not run.id.is_once:
            await SLOT.enqueue(run.app.queue, ids)
    except Unreachable as error:
        log.info("crm_job.not_dispatched", jobs=followers, account_id=str(run.id.account_id), error=error)
