"""Runs one slice of an automation: matching deals, batch by batch, until none is left or others want their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations import circuit_breaker
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.batch import most_at_once, work
from pipeline_engine.domain.automations.batch_log import close_left_open
from pipeline_engine.domain.automations.hold import Hold
from pipeline_engine.domain.automations.limits import within_limit
from pipeline_engine.domain.automations.run_end import begin_anew, end, notify
from pipeline_engine.domain.automations.selection import Selection, anything_due, select, take_up_repeats
from pipeline_engine.domain.automations.unit_outcomes import RETRY_SECONDS
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Done, Outcome, Snooze
from pipeline_engine.repos.client import is_away

CRASHES = 5
"""So many runs in a row may end in the middle before the automation rests: more than three, for it may not be to
blame."""
SOON = timedelta(minutes=1)
"""A deal that is to be tried again within this time keeps the run open."""
LONG = 10.0
"""Seconds. After a longer rest the sweep brings the next slice: `run-once` does not wait for that."""

log = logs.get(__name__)


async def run_slice(app: App, automation_id: ObjectId) -> Outcome | None:
    """Claim the automation and work off what matches; None when it is done, not due, or somebody else's."""
    held = await app.automations.claim(automation_id)
    if held is None:
        return None
    with app.heartbeat.holding("automations", automation_id):
        try:
            return await _slice(app, Hold(app.automations, held))
        except LeaseLost:
            return None
        except Permanent as error:
            await _pause(app, held, str(error))
            return None
        except Exception as error:
            if not is_away(error):
                await app.automations.release(held, {"crashes": held["crashes"] + 1})
            raise


async def _slice(app: App, hold: Hold) -> Outcome:
    if hold.document["crashes"] >= CRASHES:
        raise Permanent(f"{CRASHES} runs in a row ended in the middle", "crashes")
    await close_left_open(app, hold.automation)
    if rest := _rest(hold, app.clock.now()):
        return await _put_to_rest(app, hold, rest)
    return await _act(app, hold)


async def _act(app: App, hold: Hold) -> Outcome:
    until = time.monotonic() + app.settings.automation_slice_seconds
    selection = await _begin(app, hold)
    while selection and selection.deals:
        # The next ones are looked for while these are worked off.
        outcome, following = await asyncio.gather(_work(app, hold, selection, until), _select(app, hold, selection))
        if outcome:
            return outcome
        if time.monotonic() >= until:
            await hold.release()
            return Snooze()
        # At the end of the line once more from its beginning: some may have become due behind us.
        selection = await (_go_on(app, hold, following) if following.deals else _begin(app, hold))
    return await (_nothing_left(app, hold, selection) if selection else end(app, hold))


async def _begin(app: App, hold: Hold) -> Selection | None:
    """From the beginning of the line; None when it is switched off."""
    if not await _is_on(app, hold):
        return None
    await take_up_repeats(app, hold)
    return await _select(app, hold)


async def _go_on(app: App, hold: Hold, selection: Selection) -> Selection | None:
    return selection if await _is_on(app, hold) else None


async def _select(app: App, hold: Hold, behind: Selection | None = None) -> Selection:
    most = 1 if circuit_breaker.half_open(hold) else most_at_once(app, hold.automation)
    return await select(app, hold.automation, hold.document, most, behind.last if behind else None)


async def _work(app: App, hold: Hold, selection: Selection, until: float) -> Outcome | None:
    """Some deals. Returns how the slice ends, if it has to end after this."""
    await _announce(app, hold, selection)
    if not app.heartbeat.trusted:
        raise LeaseLost(f"automation {hold.automation.id}: the lease may have run out")
    granted = await within_limit(app, hold.automation, len(selection.deals))
    if not granted.units:
        return await _put_to_rest(app, hold, granted.after)
    deals = selection.deals[: granted.units]
    worked = await work(app, hold.automation, hold.run_id, deals, until)
    await circuit_breaker.reset(hold, worked)
    if await circuit_breaker.trip(app, hold, worked):
        return await end(app, hold)
    if worked.done + worked.failed and hold.document["crashes"]:
        await hold.change(crashes=0)
    return await _put_to_rest(app, hold, worked.rest) if worked.rest is not None else None


async def _put_to_rest(app: App, hold: Hold, seconds: float) -> Outcome:
    """A limit says, not before so many seconds. The place is somebody else's meanwhile."""
    await hold.release(next_at=app.clock.now() + timedelta(seconds=seconds))
    return Snooze(after=seconds) if seconds <= LONG else Done()


async def _is_on(app: App, hold: Hold) -> bool:
    """The moment before the effect: whether automation and account are still switched on."""
    _, is_active = await asyncio.gather(hold.refresh(), app.automations.account_is_active(hold.automation.account_id))
    document = hold.document
    is_ours = document.get("module") == "DEAL" and str(document.get("type")) in ACTIONS
    return is_active and is_ours and document.get("status") == "ACTIVE"


def _rest(hold: Hold, now: datetime) -> float:
    """Seconds that a limit still holds it back."""
    next_at = hold.document.get("next_at")
    return max(0.0, (next_at - now).total_seconds()) if next_at else 0.0


async def _announce(app: App, hold: Hold, selection: Selection) -> None:
    """Tell the creators of the deals, once per run."""
    if hold.document["run"].get("ended"):
        await begin_anew(app, hold)
    if hold.document["run"]["told"]:
        return
    creators, deals = await app.automation_deals.creators(selection.query)
    data = {"automation": str(hold.automation.id), "stage_id": str(hold.automation.stage_id), "deals": deals}
    await notify(app, hold, "process_deals", creators, data)
    await hold.change(run={**hold.document["run"], "told": True})


async def _nothing_left(app: App, hold: Hold, selection: Selection) -> Outcome:
    if selection.again_at and selection.again_at <= selection.at + SOON:
        await hold.release()
        wait = (selection.again_at - app.clock.now()).total_seconds()
        return Snooze(after=min(max(wait, 0.1), RETRY_SECONDS))  # new deals do not wait for longer than that
    await app.automation_units.forget_due(hold.automation.account_id, hold.automation.id, selection.at)
    changes = {"watermark": selection.watermark} if selection.watermark else {}
    ended = await end(app, hold, **changes)
    # A sweep that found a deal since then could not put this job into a lane where it still stood.
    return Snooze() if await anything_due(app, hold.automation, {**hold.document, **changes}) else ended


async def _pause(app: App, held: Mapping[str, Any], reason: str) -> None:
    """It cannot run as it stands: looked at again after the pause, when somebody may have mended it."""
    log.warning("automation paused", automation=str(held["_id"]), reason=reason)
    until = app.clock.now() + circuit_breaker.PAUSE_DURATION
    values = {"paused_until": until, "paused_reason": reason, "crashes": 0, "run": None}
    await app.automations.release(held, values)
