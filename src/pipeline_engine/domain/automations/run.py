"""Runs one slice of an automation: matching deals, batch by batch, until none is left or others want their turn."""

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
from pipeline_engine.domain.claimed import ClaimedRun, Failure, run_claimed
from pipeline_engine.lanes import Done, Outcome, Snooze
from pipeline_engine.repos.automation_repos import AutomationRepos

MAX_CRASHES = 5
"""So many runs in a row may end in the middle before the automation rests: more than three, for it may not be to
blame."""
SOON = timedelta(minutes=1)
"""A deal that is to be tried again within this time keeps the run open."""
LONG = 10.0
"""Seconds. After a longer rest the sweep brings the next slice: `run-once` does not wait for that."""

log = logs.get(__name__)


async def run_slice(app: App[AutomationRepos], _cache: None, automation_id: ObjectId) -> Outcome | None:
    """Claim the automation and work off what matches; None when it is done, not due, or another run has it.

    Raises: what ended the run in the middle; the lane counts these attempts.
    """
    run = ClaimedRun(
        noun="automation", work=partial(_slice, app), give_up=partial(_pause, app), attempts=None, crashes=MAX_CRASHES
    )
    return await run_claimed(app, app.repos.automations, automation_id, run, AutomationClaim)


async def _slice(app: App[AutomationRepos], claim: AutomationClaim) -> Outcome:
    await close_left_open(app, claim.automation)
    if rest := _rest(claim, app.clock.now()):
        return await _put_to_rest(app, claim, rest)
    return await _act(app, claim)


async def _act(app: App[AutomationRepos], claim: AutomationClaim) -> Outcome:
    until = time.monotonic() + app.settings.automation_slice_seconds
    selection = await _begin(app, claim)
    while selection and selection.deals:
        # The next ones are looked for while these are worked off.
        outcome, following = await asyncio.gather(_work(app, claim, selection, until), _select(app, claim, selection))
        if outcome:
            return outcome
        if time.monotonic() >= until:
            await claim.release()
            return Snooze()
        # At the end of the line once more from its beginning: some may have become due behind us.
        selection = await (_go_on(app, claim, following) if following.deals else _begin(app, claim))
    return await (_nothing_left(app, claim, selection) if selection else end(app, claim))


async def _begin(app: App[AutomationRepos], claim: AutomationClaim) -> Selection | None:
    """From the beginning of the line; None when it is switched off."""
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
    """Some deals. Returns how the slice ends, if it has to end after this."""
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
    """A limit says, not before so many seconds. The place is somebody else's meanwhile."""
    await claim.release(next_at=app.clock.now() + timedelta(seconds=seconds))
    return Snooze(after=seconds) if seconds <= LONG else Done()


async def _is_on(app: App[AutomationRepos], claim: AutomationClaim) -> bool:
    """The moment before the effect: whether automation and account are still switched on."""
    _, is_active = await asyncio.gather(
        claim.refresh(), app.repos.automations.account_is_active(claim.automation.account_id)
    )
    document = claim.document
    is_ours = document.get("module") == "DEAL" and str(document.get("type")) in ACTIONS
    return is_active and is_ours and document.get("status") == "ACTIVE"


def _rest(claim: AutomationClaim, now: datetime) -> float:
    """Seconds that a limit still holds it back."""
    next_at = claim.document.get("next_at")
    return max(0.0, (next_at - now).total_seconds()) if next_at else 0.0


async def _announce(app: App[AutomationRepos], claim: AutomationClaim, selection: Selection) -> None:
    """Tell the creators of the deals, once per run."""
    if claim.document["run"].get("ended"):
        await begin_anew(app, claim)
    if claim.document["run"]["told"]:
        return
    creators, deals = await app.repos.automation_deals.creators(selection.query)
    data = {"automation": str(claim.automation.id), "stage_id": str(claim.automation.stage_id), "deals": deals}
    await notify(app, claim, "process_deals", creators, data)
    await claim.change(run={**claim.document["run"], "told": True})


async def _nothing_left(app: App[AutomationRepos], claim: AutomationClaim, selection: Selection) -> Outcome:
    if selection.again_at and selection.again_at <= selection.at + SOON:
        await claim.release()
        wait = (selection.again_at - app.clock.now()).total_seconds()
        return Snooze(after=min(max(wait, 0.1), RETRY_SECONDS))  # new deals do not wait for longer than that
    await app.repos.automation_units.forget_due(claim.automation.account_id, claim.automation.id, selection.at)
    changes = {"watermark": selection.watermark} if selection.watermark else {}
    ended = await end(app, claim, **changes)
    # A sweep that found a deal since then could not put this job into a lane where it still stood.
    return Snooze() if await anything_due(app, claim.automation, {**claim.document, **changes}) else ended


async def _pause(app: App[AutomationRepos], claim: AutomationClaim, failure: Failure) -> None:
    """It cannot run as it stands: the sweep looks again after the pause, when it may have been mended."""
    reason = str(failure.error)
    log.warning("automation.paused", automation=str(claim.document["_id"]), reason=reason)
    until = app.clock.now() + circuit_breaker.PAUSE_DURATION
    values = {"paused_until": until, "paused_reason": reason, "crashes": 0, "run": None}
    await app.repos.automations.release(claim.document, values)
