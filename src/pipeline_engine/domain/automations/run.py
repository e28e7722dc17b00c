"""Runs one slice of an automation: matching deals, batch by batch, until none is left or others want their turn."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations import batch
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.brake import brake
from pipeline_engine.domain.automations.closing import close
from pipeline_engine.domain.automations.repeats import take_up_repeats
from pipeline_engine.domain.automations.selection import Selection, select
from pipeline_engine.errors import Permanent, Stale
from pipeline_engine.lanes import Outcome, Release
from pipeline_engine.repos.client import is_away

BATCH = 200
SLICE = 5.0
"""Seconds after which other automations of the lane get the place."""
LAG = timedelta(minutes=1)
"""Deals whose entry is younger than this are looked at again: their writes may still be on the way."""

log = logs.get(__name__)


async def run_slice(app: App, automation_id: ObjectId) -> Outcome | None:
    """Claim the automation and work off what matches; None when it is done, not due, or somebody else's."""
    held = await app.automations.claim(automation_id)
    if held is None:
        return None
    with app.heartbeat.holding("automations", automation_id):
        try:
            return await _work(app, held)
        except Stale:
            return None
        except Permanent as error:
            await _pause(app, held, str(error))
            return None
        except Exception as error:
            if not is_away(error):
                await app.automations.give_back(held)
            raise


async def _work(app: App, held: Mapping[str, Any]) -> Outcome | None:
    automation = read_automation(held)
    for left in await app.automation_logs.left_open(automation.account_id, automation.id):
        await close(app, automation, left)
    if not await app.automations.account_is_active(automation.account_id):
        await _give_back(app, held, {"run": None})
        return None
    started = time.monotonic()
    while time.monotonic() < started + SLICE:
        if await take_up_repeats(app, automation, held):
            held = {**held, "watermark": None}
        selection = await select(app, automation, held, limit=1 if held.get("brake") else BATCH)
        if not selection.deals:
            return await _nothing_left(app, automation, held, selection)
        held = await _announce(app, automation, held, selection)
        if not app.heartbeat.trusted:
            raise Stale(f"automation {automation.id}: the lease may have run out")
        done, _failed = await batch.work(app, automation, held["run"]["id"], selection.deals)
        if stop := await brake(app, automation, held, done):
            await _end(app, automation, held, stop)
            return None
        held = {**held, "brake": None} if done else held
    await _give_back(app, held, {"brake": held.get("brake")})
    return Release()


async def _announce(
    app: App, automation: Automation, held: Mapping[str, Any], selection: Selection
) -> Mapping[str, Any]:
    """Tell the creators of the deals, once per run."""
    if held["run"]["told"]:
        return held
    creators, deals = await app.automation_deals.creators(selection.query)
    data = {"automation": str(automation.id), "stage_id": str(automation.stage_id), "deals": deals}
    await _send(app, automation, held, "process_deals", creators, data)
    return await _change(app, held, {"run": {**held["run"], "told": True}})


async def _nothing_left(
    app: App, automation: Automation, held: Mapping[str, Any], selection: Selection
) -> Outcome | None:
    if selection.again_at is not None:
        await _give_back(app, held, {})
        return Release(after=max(0.1, (selection.again_at - app.clock.now()).total_seconds()))
    settled_until = automation.until(selection.looked_at) - LAG
    mark = {"shape": automation.shape, "settled_until": settled_until}
    full = selection.looked_at if selection.full else held["watermark"]["looked_at"]
    await _end(app, automation, held, {"watermark": {**mark, "looked_at": full}})
    return None


async def _end(app: App, automation: Automation, held: Mapping[str, Any], changes: dict[str, Any]) -> None:
    """The run is over: say what came of it, if anything did."""
    totals = await app.automation_logs.totals(automation.account_id, automation.id, held["run"]["id"])
    if held["run"]["told"]:
        data = {"automation": str(automation.id), **totals}
        await _send(app, automation, held, "automation_finished", [automation.created_by], data)
        changes = {**changes, "last_run": {"id": held["run"]["id"], "ended_at": app.clock.now(), **totals}}
        log.info("automation ended", automation=str(automation.id), type=automation.type, **totals)
    await _give_back(app, held, {"brake": held.get("brake"), **changes, "run": None})


async def _pause(app: App, held: Mapping[str, Any], reason: str) -> None:
    """It cannot run as it stands: looked at again in an hour, or when somebody has mended it."""
    log.warning("automation paused", automation=str(held["_id"]), reason=reason)
    until = app.clock.now() + timedelta(hours=1)
    await app.automations.give_back(held, {"paused_until": until, "paused_reason": reason, "run": None})


async def _send(
    app: App, automation: Automation, held: Mapping[str, Any], event: str, users: list[Any], data: dict[str, Any]
) -> None:
    message = {"_id": f"{event}:{held['run']['id']}", "account_id": automation.account_id, "event": event}
    await app.events.send({**message, "user_ids": [str(user) for user in users], "data": data})


async def _change(app: App, held: Mapping[str, Any], values: dict[str, Any]) -> Mapping[str, Any]:
    changed = await app.automations.change(held, values)
    if changed is None:
        raise Stale(f"automation {held['_id']} was taken over")
    return changed


async def _give_back(app: App, held: Mapping[str, Any], values: dict[str, Any]) -> None:
    if await app.automations.give_back(held, values) is None:
        raise Stale(f"automation {held['_id']} was taken over")
