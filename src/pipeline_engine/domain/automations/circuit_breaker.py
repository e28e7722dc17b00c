"""Pauses an automation that mostly fails, before it has failed for all of its deals."""

from __future__ import annotations

from datetime import timedelta

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.batch import Worked
from pipeline_engine.domain.automations.hold import Hold
from pipeline_engine.domain.automations.run_end import notify

MIN_EFFECTS = 20
"""Fewer effects allow no conclusion."""
PAUSE_DURATION = timedelta(minutes=15)
CLOSED = {"brake": None, "paused_until": None, "paused_reason": None}

log = logs.get(__name__)


def fails_mostly(succeeded: int, failed: int) -> bool:
    return succeeded + failed >= MIN_EFFECTS and failed * 2 > succeeded + failed


def half_open(hold: Hold) -> bool:
    """Whether the automation was paused and one deal goes ahead to see whether it works again."""
    return bool(hold.document.get("brake"))


async def reset(hold: Hold, worked: Worked) -> None:
    """Close the breaker if the deal that went ahead was done: all other deals follow."""
    if half_open(hold) and worked.done:
        await hold.change(**CLOSED)


async def trip(app: App, hold: Hold, worked: Worked) -> bool:
    """Pause the automation if most effects of this run failed, or the deal that went ahead did. Returns whether it is
    paused now."""
    if not worked.failed:
        return False
    totals = await app.automation_logs.totals(hold.automation.account_id, hold.automation.id, hold.run_id)
    if not half_open(hold) and not fails_mostly(**totals):
        return False
    until = app.clock.now() + PAUSE_DURATION
    reason = f"{totals['failed']} of {sum(totals.values())} effects failed"
    log.warning("automation.paused", automation=str(hold.automation.id), reason=reason)
    data = {"automation": str(hold.automation.id), "reason": reason, "until": until.isoformat()}
    await notify(app, hold, "automation_paused", [hold.automation.created_by], data)
    await hold.change(brake={"since": app.clock.now()}, paused_until=until, paused_reason=reason)
    return True
