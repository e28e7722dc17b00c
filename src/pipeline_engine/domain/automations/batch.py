"""Batches of deals: for each a log opened, effect and mark, the log closed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Action, InsertDocument, SendMessage, UpdateDeal, moves
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.batch_log import close, close_as_done
from pipeline_engine.domain.automations.jobs import SLICE
from pipeline_engine.domain.automations.loop_guard import CIRCLING, goes_round, with_move
from pipeline_engine.domain.automations.marks import done_mark
from pipeline_engine.domain.automations.matching import fresh
from pipeline_engine.domain.automations.unit_key import unit_key
from pipeline_engine.domain.automations.unit_outcomes import Failure, done, entries, give_up, put_off
from pipeline_engine.domain.effects import Deliver, Delivered, GivenUp, Limited, NotYet, Result, send_all
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.automation_repos import AutomationRepos

Deal = Mapping[str, Any]

SIDE_BY_SIDE = 5
"""Batches at a time: they wait for MongoDB most of the time."""


@dataclass(frozen=True)
class Worked:
    """How many deals were done and failed for good; `rest`: seconds before the next one may be tried at all."""

    done: int
    failed: int
    rest: float | None

    @classmethod
    def all(cls, batches: Sequence[Worked]) -> Worked:
        rests = [one.rest for one in batches if one.rest is not None]
        return cls(sum(one.done for one in batches), sum(one.failed for one in batches), max(rests, default=None))


def most_at_once(app: App[AutomationRepos], automation: Automation) -> int:
    """So many deals may be worked off together; where a provider sets the pace, one batch."""
    batches = 1 if isinstance(ACTIONS[automation.type], SendMessage) else SIDE_BY_SIDE
    return app.settings.automation_batch * batches


async def work(
    app: App[AutomationRepos], automation: Automation, run_id: str, deals: Sequence[Deal], until: float
) -> Worked:
    """Work off deals that match. Sends nothing more after `until`, a time of the monotonic clock."""
    size = app.settings.automation_batch
    batches = [deals[at : at + size] for at in range(0, len(deals), size)]
    work = (_work(app, automation, run_id, batch, until) for batch in batches)
    # Each comes to its end, whatever happens to the others: none goes on unseen.
    ended = await asyncio.gather(*work, return_exceptions=True)
    return Worked.all([_or_raise(one) for one in ended])


def _or_raise(result: Worked | BaseException) -> Worked:
    if isinstance(result, BaseException):
        raise result
    return result


async def _work(
    app: App[AutomationRepos], automation: Automation, run_id: str, deals: Sequence[Deal], until: float
) -> Worked:
    action, acted = ACTIONS[automation.type], _Acted()
    log = await _open_log(app, automation, action, run_id, deals)
    try:
        await _refuse_foreign(app, automation, action)
        acted = await _act(app, automation, action, deals, until)
    except Permanent as error:
        await give_up(app, automation, [Failure(deal, str(error), 0) for deal in deals])
    succeeded, failed = await (close_as_done if acted.on_all else close)(app, automation, log)
    return Worked(succeeded, failed, acted.rest)


async def _open_log(
    app: App[AutomationRepos], automation: Automation, action: Action, run_id: str, deals: Sequence[Deal]
) -> Mapping[str, Any]:
    about: dict[str, Any] = (
        {"target_stage_id": object_id(automation.config.get("target_stage_id"))} if moves(action) else {}
    )
    # What a run that finds the log open has to know; a mark that is part of the effect tells the rest.
    if not isinstance(action, UpdateDeal):
        about["units"] = [unit_key(automation, deal) for deal in deals]
    if not isinstance(action, UpdateDeal) or automation.reentry == "per_entry":
        about["entries"] = [deal["automation_starts"] for deal in deals]
    return await app.repos.automation_logs.open(
        automation.account_id,
        [deal["_id"] for deal in deals],
        user=automation.created_by,
        automation=automation.id,
        stage_id=automation.stage_id,
        type=automation.type,
        run_id=run_id,
        **about,
    )


async def _refuse_foreign(app: App[AutomationRepos], automation: Automation, action: Action) -> None:
    for collection, ids in action.points_at(automation).items():
        if foreign := await app.shared.references.foreign(collection, ids, automation.account_id):
            raise Permanent(f"{collection} of another account: {', '.join(foreign)}", "foreign_reference")


@dataclass(frozen=True)
class _Acted:
    """`on_all`: every deal certainly has effect and mark. `rest`: as in `Worked`."""

    on_all: bool = False
    rest: float | None = None


async def _act(
    app: App[AutomationRepos], automation: Automation, action: Action, deals: Sequence[Deal], until: float
) -> _Acted:
    match action:
        case UpdateDeal():
            return _Acted(on_all=await _change(app, automation, action, deals))
        case InsertDocument():
            await _write(app, automation, action, deals)
        case SendMessage():
            return _Acted(rest=await _send(app, automation, action, deals, until))
    return _Acted()


async def _change(app: App[AutomationRepos], automation: Automation, action: UpdateDeal, deals: Sequence[Deal]) -> bool:
    """Whether all of them were changed."""
    now = app.clock.now()
    change = action.change(automation) | done_mark(automation)
    if action.moves:
        change |= with_move()
    going = await _stop_circling(app, automation, deals, now) if action.moves else deals
    by_id = {deal["_id"]: deal for deal in going}
    changed = await app.repos.automation_deals.change(fresh(automation, now), list(by_id), change)
    await give_up(app, automation, [Failure(by_id[id], why, 1) for id, why in changed.refused.items()])
    return changed.everything and len(going) == len(deals)


async def _stop_circling(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal], now: datetime
) -> Sequence[Deal]:
    """The deals that may be moved on; those that automations move round and round are given up."""
    circling = [deal for deal in deals if automation.reentry == "per_entry" and goes_round(deal, now)]
    await give_up(app, automation, [Failure(deal, CIRCLING, 0) for deal in circling])
    stopped = {deal["_id"] for deal in circling}
    return [deal for deal in deals if deal["_id"] not in stopped]


async def _write(
    app: App[AutomationRepos], automation: Automation, action: InsertDocument, deals: Sequence[Deal]
) -> None:
    now = app.clock.now()
    deals = await _still_matching(app, automation, deals, now)
    documents = [_document(automation, action, deal, now) for deal in deals]
    refused = await app.repos.derived(action.collection).insert(documents)
    await give_up(app, automation, [Failure(deals[place], why, 1) for place, why in refused.items()])
    await done(app, automation, entries(deal for place, deal in enumerate(deals) if place not in refused))


def _document(automation: Automation, action: InsertDocument, deal: Deal, now: datetime) -> dict[str, Any]:
    own = {"account_id": automation.account_id, "automation": automation.id, "createdAt": now, "updatedAt": now}
    id = derived_id(action.collection, unit_key(automation, deal))
    return {"_id": id, **action.document(automation, deal, now), **own}


async def _send(
    app: App[AutomationRepos], automation: Automation, action: SendMessage, deals: Sequence[Deal], until: float
) -> float | None:
    by_key = {unit_key(automation, deal): deal for deal in deals}
    composed = dict(zip(by_key, await action.compose(app, automation, deals), strict=True))
    results: dict[str, Result] = {key: _unsent(one) for key, one in composed.items() if isinstance(one, Exception)}
    units: dict[str, Deliver] = {key: one for key, one in composed.items() if not isinstance(one, Exception)}
    places = SLICE[automation.type].lane.places

    async def still(keys: Collection[str]) -> set[str]:
        return await _still_due(app, automation, {by_key[key]["_id"]: key for key in keys})

    results |= await send_all(app, automation.account_id, action.channel, units, still, places, until)
    await _settle(app, automation, by_key, results)
    return max((result.after for result in results.values() if isinstance(result, Limited)), default=None)


def _unsent(error: Exception) -> Result:
    return Limited(error.retry_after) if isinstance(error, RateLimited) else GivenUp(str(error), 0)


async def _settle(
    app: App[AutomationRepos], automation: Automation, deals: Mapping[str, Deal], results: Mapping[str, Result]
) -> None:
    sent, lost, again = [], [], []
    for key, result in results.items():
        match result:
            case Delivered():
                sent.append(deals[key])
            case GivenUp():
                lost.append(Failure(deals[key], result.error, result.attempts))
            case NotYet():
                again.append(Failure(deals[key], result.error, result.attempts))
            case Limited():
                pass  # still due
    await done(app, automation, entries(sent))
    await give_up(app, automation, lost)
    await put_off(app, automation, again)


async def _still_due(app: App[AutomationRepos], automation: Automation, keys: Mapping[ObjectId, str]) -> set[str]:
    """The moment before the call: the keys of the deals that still match, if the automation is still switched on."""
    query = {**fresh(automation, app.clock.now()), "_id": {"$in": list(keys)}}
    is_on, deals = await asyncio.gather(
        app.repos.automations.is_on(automation.account_id, automation.id),
        app.repos.automation_deals.matching(query, limit=0, fields=["_id"]),
    )
    return {keys[deal["_id"]] for deal in deals} if is_on else set()


async def _still_matching(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal], now: datetime
) -> list[Deal]:
    """The moment before the effect: a deal that was moved, done or deleted meanwhile is left alone."""
    ids = [deal["_id"] for deal in deals]
    return list(await app.repos.automation_deals.matching({**fresh(automation, now), "_id": {"$in": ids}}, limit=0))
