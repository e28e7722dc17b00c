"""The end of a run: the users are notified of what came of it, and the automations that waited for it may run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.actions.table import moves_deals
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.jobs import SLICE
from pipeline_engine.lanes import Done
from pipeline_engine.repos.automation_repos import AutomationRepos

log = logs.get(__name__)


async def notify(
    app: App[AutomationRepos], claim: AutomationClaim, event: str, users: Sequence[Any], data: dict[str, Any]
) -> None:
    """Send a socket event to users, once per run and kind of event: a repeat has the same id."""
    message = {"_id": f"{event}:{claim.run_id}", "account_id": claim.automation.account_id, "event": event}
    await app.shared.events.add_to_outbox(
        {**message, "user_ids": [str(user) for user in users if user is not None], "data": data}
    )


async def end(app: App[AutomationRepos], claim: AutomationClaim, **changes: Any) -> Done:
    """End the run and release the automation with the changes. A run that had deals says how many were done and how
    many failed."""
    run = claim.document["run"]
    had_deals = run["told"]
    if had_deals:
        # From here on its figures stand: deals that are found after a crash belong to another run.
        await claim.change(run={**run, "ended": True})
        changes["last_run"] = await _notify_finished(app, claim)
    await claim.release(**changes, run=None, next_at=None, crashes=0)
    if had_deals:
        await _wake_movers(app, claim)
    return Done()


async def begin_anew(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """Begin another run on the same claim: there are deals again, and the last run has ended without releasing it."""
    last_run = await _notify_finished(app, claim)
    await claim.change(last_run=last_run, run={"id": str(ObjectId()), "told": False})


async def _notify_finished(app: App[AutomationRepos], claim: AutomationClaim) -> dict[str, Any]:
    """Returns what came of the run."""
    automation = claim.automation
    totals = await app.repos.automation_logs.totals(automation.account_id, automation.id, claim.run_id)
    data = {"automation": str(automation.id), **totals}
    await notify(app, claim, "automation_finished", [automation.created_by], data)
    log.info("automation.ended", automation=str(automation.id), type=automation.type, **totals)
    return {"id": claim.run_id, "ended_at": app.clock.now(), **totals}


async def _wake_movers(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """Enqueue the automations that take deals out of the stage: they have waited for this one."""
    automation = claim.automation
    for sibling in await app.repos.automations.siblings(automation.account_id, automation.stage_id):
        is_known = isinstance(sibling["_id"], ObjectId) and isinstance(sibling.get("type"), str)
        if is_known and moves_deals(sibling["type"]) and sibling["_id"] != automation.id:
            await SLICE[sibling["type"]].enqueue(app.queue, [sibling["_id"]])
