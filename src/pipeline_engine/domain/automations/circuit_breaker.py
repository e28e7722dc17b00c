"""Stops an automation that mostly fails, before it has failed for everybody."""

from __future__ import annotations

from datetime import timedelta

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.batch import Worked
from pipeline_engine.domain.automations.notify import tell
from pipeline_engine.repos.automation_repos import AutomationRepos

ENOUGH = 20
"""Effects before anything is concluded."""
PAUSE = timedelta(minutes=15)
RELEASED = {"brake": None, "paused_until": None, "paused_reason": None}

log = logs.get(__name__)


def fails_mostly(succeeded: int, failed: int) -> bool:
    return succeeded + failed >= ENOUGH and failed * 2 > succeeded + failed


def half_open(claim: AutomationClaim) -> bool:
    """After a pause one deal goes ahead of the others."""
    return bool(claim.document.get("brake"))


async def reset(claim: AutomationClaim, worked: Worked) -> None:
    """The deal that went ahead came through: all go on."""
    if half_open(claim) and worked.done:
        await claim.change(**RELEASED)


async def trip(app: App[AutomationRepos], claim: AutomationClaim, worked: Worked) -> bool:
    """Pause the automation if most of this run fails, or the deal that went ahead. Returns whether it is paused now."""
    if not worked.failed:
        return False
    totals = await app.repos.automation_logs.totals(claim.automation.account_id, claim.automation.id, claim.run_id)
    if not half_open(claim) and not fails_mostly(**totals):
        return False
    until = app.clock.now() + PAUSE
    reason = f"{totals['failed']} of {sum(totals.values())} effects failed"
    log.warning("automation paused itself", automation=str(claim.automation.id), reason=reason)
    data = {"automation": str(claim.automation.id), "reason": reason, "until": until.isoformat()}
    await tell(app, claim, "automation_paused", [claim.automation.created_by], data)
    await claim.change(brake={"since": app.clock.now()}, paused_until=until, paused_reason=reason)
    return True
