"""Runs one slice of an automation: matching deals, batch by batch, until none is left or the slice is over."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations import circuit_breaker
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.batch import most_at_once, work
from pipeline_engine.domain.automations.batch_log import close_left_open
from pipeline_engine.domain.automations.limits import within_limit
from pipeline_engine.domain.automations.run_end import begin_anew, end, notify
from pipeline_engine.domain.automations.selection import Selection, anything_due, select, take_up_repeats
from pipeline_engine.domain.automations.unit_outcomes import RETRY_SECONDS
from pipeline_engine.domain.claimed import CRASHED, MAX_SHARED_CRASHES, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Done, Outcome, Snooze
from pipeline_engine.repos.automation_repos import AutomationRepos

MAX_UNSEEN_CRASHES = 2 * MAX_SHARED_CRASHES
"""Runs in a row that end before they have seen what the last one got done."""
MAX_WAIT_FOR_RETRY = timedelta(minutes=1)
"""A run stays open for a deal that is tried again within this time."""
MAX_SNOOZE_SECONDS = 10.0
"""After a longer rest the sweep finds the automation again; so `run-once`, which waits for snoozed jobs, ends."""

log = logs.get(__name__)


async def run_slice(app: App[AutomationRepos], _cache: None, automation_id: ObjectId) -> Outcome | None:
    """Claim the automation and act on deals that match; returns None when it is not due or another run holds it.

    Raises: the error that ended the run in the middle; the lane counts these attempts.
    """
    run = ClaimedRun(
        noun="automation",
        work=partial(_slice, app),
        give_up=partial(_pause, app),
        attempts=None,
        crashes=MAX_UNSEEN_CRASHES,
    )
    return await run_claimed(app, app.repos.automations, automation_id, run, AutomationClaim)


async def _slice(app: App[AutomationRepos], claim: AutomationClaim) -> Outcome:
    got_done = await close_left_open(app, claim.automation)
    await _refuse_crashed(claim, got_done)
    if rest := _rest(claim, app.clock.now()):
        return await _put_to_rest(app, claim, rest)
    return await _act(app, claim)


async def _refuse_crashed(claim: AutomationClaim, got_done: bool) -> None:
    """Crashes count only while nothing gets done in between. Raises: Permanent after `MAX_SHARED_CRASHES` of them."""
    if got_done and claim.document["crashes"]:
        await claim.change(crashes=0)
    elif claim.document["crashes"] >= MAX_SHARED_CRASHES:
        raise Permanent(f"{MAX_SHARED_CRASHES} runs in a row ended in the middle", CRASHED)


async def _act(app: App[AutomationRepos], claim: AutomationClaim) -> Outcome:
    until = time.monotonic() + app.settings.automation_slice_seconds
    selection = await _begin(app, claim)
    while selection and selection.deals:
        # The next deals are selected while the run acts on these.
        outcome, following = await asyncio.gather(_work(app, claim, selection, until), _select(app, claim, selection))
        if outcome:
            return outcome
        if time.monotonic() >= until:
            await claim.release()
            return Snooze()
        # After the last deal it selects once more from the first: deals before it may have become due meanwhile.
        selection = await (_go_on(app, claim, following) if following.deals else _begin(app, claim))
    return await (_nothing_left(app, claim, selection) if selection else end(app, claim))


async def _begin(app: App[AutomationRepos], claim: AutomationClaim) -> Selection | None:
    """The first deals that match; None when the automation is switched off."""
    if not await _is_on(app, claim):
        return None
    await take_up_repeats(app, claim)
    return await _select(app, claim)


async def _go_on(app: App[AutomationRepos], claim: AutomationClaim, selection: Selection) -> Selection | None:
    return selection if await _is_on(app, claim) else None


async def _select(app: App[AutomationRepos], claim: AutomationClaim, behind: Selection | None = None) -> Selection:
    most = 1 if circuit_breaker.half_open(claim) else most_at_once(app, claim.automation)
    return await select(app, claim.automation, claim.document, most, behind.last if behind else None)


async def _work(
    app: App[AutomationRepos], claim: AutomationClaim, selection: Selection, until: float
) -> Outcome | None:
    """Act on the selected deals. Returns the outcome of the slice when it has to end now, else None."""
    await _announce(app, claim, selection)
    claim.check()
    granted = await within_limit(app, claim.automation, len(selection.deals))
    if not granted.units:
        return await _put_to_rest(app, claim, granted.after)
    deals = selection.deals[: granted.units]
    worked = await work(app, claim.automation, claim.run_id, deals, until)
    await circuit_breaker.reset(claim, worked)
    if await circuit_breaker.trip(app, claim, worked):
        return await end(app, claim)
    if worked.done + worked.failed and claim.document["crashes"]:
        await claim.change(crashes=0)
    return await _put_to_rest(app, claim, worked.rest) if worked.rest is not None else None


async def _put_to_rest(app: App[AutomationRepos], claim: AutomationClaim, seconds: float) -> Outcome:
    """Release the automation until a limit allows more, in `seconds`; its place in the lane is free meanwhile."""
    await claim.release(next_at=app.clock.now() + timedelta(seconds=seconds))
    return Snooze(after=seconds) if seconds <= MAX_SNOOZE_SECONDS else Done()


async def _is_on(app: App[AutomationRepos], claim: AutomationClaim) -> bool:
    """Whether automation and account are still switched on, read afresh just before the effect."""
    _, is_active = await asyncio.gather(
        claim.refresh(), app.repos.automations.account_is_active(claim.automation.account_id)
    )
    document = claim.document
    is_ours = document.get("module") == "DEAL" and str(document.get("type")) in ACTIONS
    return is_active and is_ours and document.get("status") == "ACTIVE"


def _rest(claim: AutomationClaim, now: datetime) -> float:
    """Seconds until a limit allows the automation to act."""
    next_at = claim.document.get("next_at")
    return max(0.0, (next_at - now).total_seconds()) if next_at else 0.0


async def _announce(app: App[AutomationRepos], claim: AutomationClaim, selection: Selection) -> None:
    """Notify the creators of the deals that their deals are processed, once per run."""
    if claim.document["run"].get("ended"):
        await begin_anew(app, claim)
    if claim.document["run"]["told"]:
        return
    creators, deals = await app.repos.automation_deals.creators(selection.query)
    data = {"automation": str(claim.automation.id), "stage_id": str(claim.automation.stage_id), "deals": deals}
    await notify(app, claim, "process_deals", creators, data)
    await claim.change(run={**claim.document["run"], "told": True})


async def _nothing_left(app: App[AutomationRepos], claim: AutomationClaim, selection: Selection) -> Outcome:
    if selection.again_at and selection.again_at <= selection.at + MAX_WAIT_FOR_RETRY:
        await claim.release()
        wait = (selection.again_at - app.clock.now()).total_seconds()
        return Snooze(after=min(max(wait, 0.1), RETRY_SECONDS))  # so that new deals do not wait for longer
    await app.repos.automation_units.remove_due(claim.automation.account_id, claim.automation.id, selection.at)
    changes = {"watermark": selection.watermark} if selection.watermark else {}
    ended = await end(app, claim, **changes)
    # A sweep that has found a deal since then could not enqueue this job, because it still runs.
    return Snooze() if await anything_due(app, claim.automation, {**claim.document, **changes}) else ended


async def _pause(app: App[AutomationRepos], claim: AutomationClaim, failure: RunFailure) -> None:
    """Pause an automation that cannot run.

    After the pause the sweep finds it again; it may have been corrected by then.
    """
    reason = str(failure.error)
    log.warning("automation.paused", automation=str(claim.document["_id"]), reason=reason)
    until = app.clock.now() + circuit_breaker.PAUSE_DURATION
    values = {"paused_until": until, "paused_reason": reason, "crashes": 0, "run": None}
    await app.repos.automations.release(claim.document, values)
