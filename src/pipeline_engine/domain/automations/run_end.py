"""The end of a run: what came of it is told, and who waited for it may go."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import moves
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.jobs import SLICE
from pipeline_engine.domain.automations.notify import tell
from pipeline_engine.lanes import Done
from pipeline_engine.repos.automation_repos import AutomationRepos

log = logs.get(__name__)


async def end(app: App[AutomationRepos], claim: AutomationClaim, **changes: Any) -> Done:
    """Let go of the automation for good; a run that had deals says how many were done and how many failed."""
    run = claim.document["run"]
    if run["told"]:
        # From here on its figures stand: deals that are found after a crash belong to another run.
        await claim.change(run={**run, "ended": True})
        changes["last_run"] = await _tell(app, claim)
    await claim.release(**changes, run=None, next_at=None, crashes=0)
    if run["told"]:
        await _let_movers_go(app, claim)
    return Done()


async def begin_anew(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """There are deals again for a run that ended and did not let go of the automation: another run has them."""
    last_run = await _tell(app, claim)
    await claim.change(last_run=last_run, run={"id": str(ObjectId()), "told": False})


async def _tell(app: App[AutomationRepos], claim: AutomationClaim) -> dict[str, Any]:
    """Tell the end. Returns what came of the run."""
    automation = claim.automation
    totals = await app.repos.automation_logs.totals(automation.account_id, automation.id, claim.run_id)
    data = {"automation": str(automation.id), **totals}
    await tell(app, claim, "automation_finished", [automation.created_by], data)
    log.info("automation ended", automation=str(automation.id), type=automation.type, **totals)
    return {"id": claim.run_id, "ended_at": app.clock.now(), **totals}


async def _let_movers_go(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """Automations that take deals out of the stage have waited for this one."""
    automation = claim.automation
    for sibling in await app.repos.automations.siblings(automation.account_id, automation.stage_id):
        action = ACTIONS.get(str(sibling.get("type")))
        if action and moves(action) and sibling["_id"] != automation.id:
            await SLICE[sibling["type"]].enqueue(app.queue, [sibling["_id"]])
