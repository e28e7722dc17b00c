"""Pauses an automation that mostly fails, before it has failed for all of its deals.

A recipient without an address, or who wants no mail, says nothing of whether the automation works."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.batch import Worked
from pipeline_engine.domain.automations.run_end import notify
from pipeline_engine.repos.automation_repos import AutomationRepos

MIN_EFFECTS = 20
"""Fewer effects allow no conclusion."""
PAUSE_DURATION = timedelta(minutes=15)
CLOSED = {"brake": None, "paused_until": None, "paused_reason": None}

log = logs.get(__name__)


def fails_mostly(succeeded: int, failed: int) -> bool:
    return succeeded + failed >= MIN_EFFECTS and failed * 2 > succeeded + failed


def half_open(claim: AutomationClaim) -> bool:
    """Whether the automation was paused and one deal goes ahead to see whether it works again."""
    return bool(claim.document.get("brake"))


async def reset(claim: AutomationClaim, worked: Worked) -> None:
    """Close the breaker if the deal that went ahead was done: all other deals follow."""
    if half_open(claim) and worked.done:
        await claim.change(**CLOSED)


async def trip(app: App[AutomationRepos], claim: AutomationClaim, worked: Worked) -> bool:
    """Pause the automation if most effects of this run failed, or the deal that went ahead did. Returns whether it is
    paused now."""
    if not worked.failed:
        return False
    logs, run = app.repos.automation_logs, (claim.automation.account_id, claim.automation.id, claim.run_id)
    totals, unreachable = await asyncio.gather(logs.totals(*run), logs.unreachable(*run))
    succeeded, failed = totals["succeeded"], totals["failed"] - unreachable
    if not (failed if half_open(claim) else fails_mostly(succeeded, failed)):
        return False
    until = app.clock.now() + PAUSE_DURATION
    reason = f"{failed} of {succeeded + failed} effects failed"
    log.warning("automation.paused", automation=str(claim.automation.id), reason=reason)
    data = {"automation": str(claim.automation.id), "reason": reason, "until": until.isoformat()}
    await notify(app, claim, "automation_paused", [claim.automation.created_by], data)
    await claim.change(brake={"since": app.clock.now()}, paused_until=until, paused_reason=reason)
    return True
