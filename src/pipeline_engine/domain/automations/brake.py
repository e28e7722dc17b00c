"""Stops an automation that mostly fails, before it has failed for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation

ENOUGH = 20
"""Effects before anything is concluded."""
PAUSE = timedelta(minutes=15)

log = logs.get(__name__)


def fails_mostly(succeeded: int, failed: int) -> bool:
    return succeeded + failed >= ENOUGH and failed * 2 > succeeded + failed


async def brake(app: App, automation: Automation, held: Mapping[str, Any], done: int) -> dict[str, Any] | None:
    """Changes that pause the automation, or None when it may go on. While it is being probed, one failure is enough."""
    totals = await app.automation_logs.totals(automation.account_id, automation.id, held["run"]["id"])
    probing_failed = bool(held.get("brake")) and not done
    if not probing_failed and not fails_mostly(totals["succeeded"], totals["failed"]):
        return None
    until = app.clock.now() + PAUSE
    reason = f"{totals['failed']} of {totals['succeeded'] + totals['failed']} effects failed"
    log.warning("automation paused itself", automation=str(automation.id), reason=reason)
    await app.events.send(
        {
            "_id": f"automation_paused:{held['run']['id']}",
            "account_id": automation.account_id,
            "event": "automation_paused",
            "user_ids": [str(automation.created_by)],
            "data": {"automation": str(automation.id), "reason": reason, "until": until.isoformat()},
        }
    )
    return {"paused_until": until, "paused_reason": reason, "brake": {"since": app.clock.now(), "reason": reason}}
