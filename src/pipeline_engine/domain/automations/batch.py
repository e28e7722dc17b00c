"""One batch of deals: log opened, effect and mark, log closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.errors import OperationFailure

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Action, Guarded, Sent, Written
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.closing import close
from pipeline_engine.domain.automations.matching import fresh
from pipeline_engine.domain.automations.unit_key import unit_key
from pipeline_engine.domain.effects import Deliver, Delivered, GivenUp, NotYet, Result, send_all
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import derived_id, either
from pipeline_engine.lanes import LANES
from pipeline_engine.repos.automation_deals import with_mark, without
from pipeline_engine.repos.client import is_away

Deal = Mapping[str, Any]

AGAIN = timedelta(seconds=4)
"""The seed's pause between two attempts."""


async def work(app: App, automation: Automation, run_id: str, deals: Sequence[Deal]) -> tuple[int, int]:
    """Work off deals that match. Returns how many were done and how many failed for good."""
    fields = {"user": automation.created_by, "automation": automation.id, "stage_id": automation.stage_id}
    if automation.reentry == "per_entry":
        fields["entries"] = [deal["automation_starts"] for deal in deals]
    ids = [deal["_id"] for deal in deals]
    log = await app.automation_logs.open(automation.account_id, ids, **fields, type=automation.type, run_id=run_id)
    try:
        await _refuse_foreign(app, automation, ACTIONS[automation.type])
        await _act(app, automation, deals)
    except Permanent as error:
        await _give_up(app, automation, {deal["_id"]: (deal, str(error), 0) for deal in deals})
    return await close(app, automation, log)


async def _refuse_foreign(app: App, automation: Automation, action: Action) -> None:
    for collection, ids in action.points_at(automation).items():
        if foreign := await app.references.foreign(collection, ids, automation.account_id):
            raise Permanent(f"{collection} of another account: {', '.join(foreign)}", "foreign_reference")


async def _act(app: App, automation: Automation, deals: Sequence[Deal]) -> None:
    match ACTIONS[automation.type]:
        case Guarded() as action:
            await _change(app, automation, action, deals)
        case Written() as action:
            await _write(app, automation, action, deals)
        case Sent() as action:
            await _send(app, automation, action, deals)


async def _change(app: App, automation: Automation, action: Guarded, deals: Sequence[Deal]) -> None:
    change = {**action.change(automation), **done_mark(automation)}
    ids = [deal["_id"] for deal in deals]
    guard = fresh(automation, app.clock.now())
    try:
        await app.automation_deals.change(guard, ids, change)
    except OperationFailure as error:
        if is_away(error) or len(ids) == 1:
            raise
        await _change_one_by_one(app, automation, change, deals)


async def _change_one_by_one(app: App, automation: Automation, change: dict[str, Any], deals: Sequence[Deal]) -> None:
    """The server refuses one of the deals, and with it the rest of the batch: find out which."""
    guard = fresh(automation, app.clock.now())
    refused = {}
    for deal in deals:
        try:
            await app.automation_deals.change(guard, [deal["_id"]], change)
        except OperationFailure as error:
            if is_away(error):
                raise
            refused[deal["_id"]] = (deal, str(error.details and error.details.get("errmsg")), 1)
    await _give_up(app, automation, refused)


async def _write(app: App, automation: Automation, action: Written, deals: Sequence[Deal]) -> None:
    now = app.clock.now()
    own = {"account_id": automation.account_id, "automation": automation.id, "createdAt": now, "updatedAt": now}
    documents = [
        {
            "_id": derived_id(action.collection, unit_key(automation, deal)),
            **action.document(automation, deal, now),
            **own,
        }
        for deal in await _still_matching(app, automation, deals, now)
    ]
    refused = await app.written(action.collection).insert(documents)
    by_id = {deal["_id"]: deal for deal in deals}
    broken = {document["deal_id"]: why for place, why in refused.items() if (document := documents[place])}
    await _give_up(app, automation, {id: (by_id[id], why, 1) for id, why in broken.items()})
    await _done(app, automation, [one["deal_id"] for one in documents if one["deal_id"] not in broken])


async def _send(app: App, automation: Automation, action: Sent, deals: Sequence[Deal]) -> None:
    deals = await _still_matching(app, automation, deals, app.clock.now())
    composed = dict(zip(deals_by_key(automation, deals), await action.compose(app, automation, deals), strict=True))
    units: dict[str, Deliver] = {key: one for key, one in composed.items() if not isinstance(one, Exception)}
    places = LANES[f"deals.automations.{automation.type}"].places
    results = await send_all(app, automation.account_id, action.channel, units, places)
    results |= {key: GivenUp(str(one), 0) for key, one in composed.items() if isinstance(one, Exception)}
    await _settle(app, automation, deals_by_key(automation, deals), results)


def deals_by_key(automation: Automation, deals: Sequence[Deal]) -> dict[str, Deal]:
    return {unit_key(automation, deal): deal for deal in deals}


async def _settle(app: App, automation: Automation, deals: Mapping[str, Deal], results: Mapping[str, Result]) -> None:
    done = [deals[key]["_id"] for key, result in results.items() if isinstance(result, Delivered)]
    lost = {
        deals[key]["_id"]: (deals[key], result.error, result.attempts)
        for key, result in results.items()
        if isinstance(result, GivenUp)
    }
    await _done(app, automation, done)
    await _give_up(app, automation, lost)
    for key, result in results.items():
        if isinstance(result, NotYet):
            pause = timedelta(seconds=result.after) if result.after else AGAIN
            unit = unit_of(automation, deals[key])
            await app.automation_units.put_off(unit, result.attempts, app.clock.now() + pause, result.error)


async def _still_matching(app: App, automation: Automation, deals: Sequence[Deal], now: datetime) -> list[Deal]:
    """The moment before the effect: a deal that was moved, done or deleted meanwhile is left alone."""
    ids = [deal["_id"] for deal in deals]
    return list(await app.automation_deals.matching({**fresh(automation, now), "_id": {"$in": ids}}, limit=0))


async def _done(app: App, automation: Automation, ids: Sequence[ObjectId]) -> None:
    """Mark what has taken effect, wherever the deal has gone meanwhile."""
    if ids:
        guard = {"account_id": either(automation.account_id)}
        await app.automation_deals.change(guard, ids, done_mark(automation))


async def _give_up(app: App, automation: Automation, lost: Mapping[ObjectId, tuple[Deal, str, int]]) -> None:
    """Reason first, mark second: a deal that is marked always has its reason."""
    for deal, error, attempts in lost.values():
        await app.automation_units.park(unit_of(automation, deal), attempts, error)
    if lost:
        guard = fresh(automation, app.clock.now())
        await app.automation_deals.change(guard, list(lost), failed_mark(automation))


def unit_of(automation: Automation, deal: Deal) -> dict[str, Any]:
    key = {"_id": unit_key(automation, deal), "account_id": automation.account_id}
    return {**key, "automation_id": automation.id, "deal_id": deal["_id"]}


def done_mark(automation: Automation) -> dict[str, Any]:
    """Set with the effect. Done and failed are never both true, also when the deal comes round again."""
    lists = with_mark("automation_triggered", automation.id) | without("automation_failed", automation.id)
    return {**lists, **entry_mark(automation)}


def failed_mark(automation: Automation) -> dict[str, Any]:
    lists = with_mark("automation_failed", automation.id) | without("automation_triggered", automation.id)
    return {**lists, **entry_mark(automation)}


def entry_mark(automation: Automation) -> dict[str, Any]:
    """Under `per_entry`: which entry this was."""
    if automation.reentry == "once":
        return {}
    return {f"automation_generation.{automation.id}.entry": "$automation_starts"}
