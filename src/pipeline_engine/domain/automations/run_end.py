"""The end of a run: what came of it is told, and who waited for it may go."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import moves
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.hold import Hold
from pipeline_engine.domain.automations.job import lane_of, run_of
from pipeline_engine.domain.automations.notify import tell
from pipeline_engine.lanes import Done

log = logs.get(__name__)


async def end(app: App, hold: Hold, **changes: Any) -> Done:
    """Let go of the automation for good; a run that had deals says how many were done and how many failed."""
    run = hold.document["run"]
    if run["told"]:
        # From here on its figures stand: deals that are found after a crash belong to another run.
        await hold.change(run={**run, "ended": True})
        changes["last_run"] = await _tell(app, hold)
    await hold.release(**changes, run=None, next_at=None, crashes=0)
    if run["told"]:
        await _let_movers_go(app, hold)
    return Done()


async def begin_anew(app: App, hold: Hold) -> None:
    """There are deals again for a run that ended and did not let go of the automation: another run has them."""
    last_run = await _tell(app, hold)
    await hold.change(last_run=last_run, run={"id": str(ObjectId()), "told": False})


async def _tell(app: App, hold: Hold) -> dict[str, Any]:
    """Tell the end. Returns what came of the run."""
    automation = hold.automation
    totals = await app.automation_logs.totals(automation.account_id, automation.id, hold.run_id)
    data = {"automation": str(automation.id), **totals}
    await tell(app, hold, "automation_finished", [automation.created_by], data)
    log.info("automation ended", automation=str(automation.id), type=automation.type, **totals)
    return {"id": hold.run_id, "ended_at": app.clock.now(), **totals}


async def _let_movers_go(app: App, hold: Hold) -> None:
    """Automations that take deals out of the stage have waited for this one."""
    automation = hold.automation
    for sibling in await app.automations.siblings(automation.account_id, automation.stage_id):
        action = ACTIONS.get(str(sibling.get("type")))
        if action and moves(action) and sibling["_id"] != automation.id:
            await app.queue.enqueue_many(lane_of(sibling), [run_of(sibling)])
