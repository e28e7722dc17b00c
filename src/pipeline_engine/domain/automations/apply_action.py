"""Applies an action to a batch of deals: effect and mark, for each deal exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Action, InsertDocument, SendMessage, UpdateDeal, needed_fields
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.limits import MOVED_TOO_OFTEN, count_move, moved_too_often
from pipeline_engine.domain.automations.marks import done_mark, earlier_keys, unit_key
from pipeline_engine.domain.automations.matching import fresh
from pipeline_engine.domain.automations.unit_outcomes import Failure, done, entries, give_up, put_off
from pipeline_engine.domain.messages.earlier_sends import carry_over
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import (
    Delivered,
    GivenUp,
    HeldBack,
    Limited,
    NotYet,
    SendResult,
    rest_after,
)
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.deal_change import DealChange

Deal = Mapping[str, Any]


@dataclass(frozen=True)
class Applied:
    """`to_all`: every deal certainly has effect and mark; `rest`: seconds before a limit allows the next message."""

    to_all: bool = False
    rest: float | None = None


async def apply_action(
    app: App[AutomationRepos], automation: Automation, action: Action, deals: Sequence[Deal], until: float
) -> Applied:
    """Apply the action to those of the deals that still match. No message is sent after `until` (monotonic).

    Raises: Permanent when it can be applied to none of them.
    """
    match action:
        case UpdateDeal():
            return Applied(to_all=await _update(app, automation, action, deals))
        case InsertDocument():
            await _insert(app, automation, action, deals)
            return Applied()
        case SendMessage():
            return Applied(rest=await _send(app, automation, action, deals, until))


async def _update(app: App[AutomationRepos], automation: Automation, action: UpdateDeal, deals: Sequence[Deal]) -> bool:
    """Returns whether all of the deals were changed."""
    now = app.clock.now()
    change = action.change(automation) | done_mark(automation)
    if action.moves:
        change |= count_move() | await _with_pipeline(app, automation, change)
    going = await _give_up_circling(app, automation, deals, now) if action.moves else deals
    by_id = {deal["_id"]: deal for deal in going}
    changed = await app.repos.automation_deals.apply_change(fresh(automation, now), list(by_id), change)
    await give_up(app, automation, [Failure(by_id[id], why, 1) for id, why in changed.refused.items()])
    return changed.everything and len(by_id) == len(deals)


async def _with_pipeline(app: App[AutomationRepos], automation: Automation, move: DealChange) -> DealChange:
    """A deal that goes to a stage of another pipeline goes to that pipeline: else no board would show it."""
    pipeline = await app.repos.automation_deals.pipeline_of(automation.account_id, move.set["stage_id"])
    return DealChange(set={"pipeline_id": pipeline} if pipeline else {})


async def _give_up_circling(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal], now: datetime
) -> Sequence[Deal]:
    """Give up the deals that automations move round and round. Returns the others."""
    circling = [deal for deal in deals if automation.reentry == "per_entry" and moved_too_often(deal, now)]
    await give_up(app, automation, [Failure(deal, MOVED_TOO_OFTEN, 0) for deal in circling])
    given_up = {deal["_id"] for deal in circling}
    return [deal for deal in deals if deal["_id"] not in given_up]


async def _insert(
    app: App[AutomationRepos], automation: Automation, action: InsertDocument, deals: Sequence[Deal]
) -> None:
    now = app.clock.now()
    deals = await _still_matching(app, automation, action, deals, now)
    documents = [_document(automation, action, deal, now) for deal in deals]
    refused = await app.repos.derived(action.collection).insert(documents)
    await give_up(app, automation, [Failure(deals[place], why, 1) for place, why in refused.items()])
    await done(app, automation, entries(deal for place, deal in enumerate(deals) if place not in refused))


async def _still_matching(
    app: App[AutomationRepos], automation: Automation, action: InsertDocument, deals: Sequence[Deal], now: datetime
) -> list[Deal]:
    """Those of the deals that were neither moved, nor done, nor deleted since they were selected."""
    query = {**fresh(automation, now), "_id": {"$in": [deal["_id"] for deal in deals]}}
    found = await app.repos.automation_deals.find_matching(query, limit=0, fields=needed_fields(action))
    return list(found)


def _document(automation: Automation, action: InsertDocument, deal: Deal, now: datetime) -> dict[str, Any]:
    own = {"account_id": automation.account_id, "automation": automation.id, "createdAt": now, "updatedAt": now}
    id = derived_id(action.collection, unit_key(automation, deal))
    return {"_id": id, **action.document(automation, deal, now), **own}


async def _send(
    app: App[AutomationRepos], automation: Automation, action: SendMessage, deals: Sequence[Deal], until: float
) -> float | None:
    """Returns the seconds before a limit allows the next message, if one was met."""
    by_key = {unit_key(automation, deal): deal for deal in deals}
    composed = zip(by_key, await action.compose(app, automation, deals), strict=True)
    units = {key: one for key, one in composed if one is not None}

    # A repeat that an operator asked for is sent also when an earlier one went out; what is in doubt is flagged.
    earlier = {key: keys for key in units if (keys := earlier_keys(automation, by_key[key]))}
    await carry_over(app, automation.account_id, action.channel, earlier)

    async def still_due(keys: Collection[str]) -> set[str]:
        return await _still_due(app, automation, {by_key[key]["_id"]: key for key in keys})

    results = await send_all(
        app, automation.account_id, action.channel, units, still_wanted=still_due, places=action.parallel, until=until
    )
    await _record_outcomes(app, automation, by_key, results)
    return rest_after(results.values())


async def _still_due(app: App[AutomationRepos], automation: Automation, keys: Mapping[ObjectId, str]) -> set[str]:
    """The keys of the deals that still match, if the automation is still switched on."""
    query = {**fresh(automation, app.clock.now()), "_id": {"$in": list(keys)}}
    is_on, deals = await asyncio.gather(
        app.repos.automations.is_on(automation.account_id, automation.id),
        app.repos.automation_deals.find_matching(query, limit=0, fields=["_id"]),
    )
    return {keys[deal["_id"]] for deal in deals} if is_on else set()


async def _record_outcomes(
    app: App[AutomationRepos], automation: Automation, deals: Mapping[str, Deal], results: Mapping[str, SendResult]
) -> None:
    sent, lost, again = [], [], []
    for key, result in results.items():
        match result:
            case Delivered():
                sent.append(deals[key])
            case GivenUp():
                lost.append(Failure(deals[key], result.error, result.attempts, code=result.code))
            case NotYet():
                again.append(Failure(deals[key], result.error, result.attempts))
            case HeldBack():
                again.append(Failure(deals[key], result.why, result.attempts, result.after))
            case Limited():
                pass  # still due
    await done(app, automation, entries(sent))
    await give_up(app, automation, lost)
    await put_off(app, automation, again)
