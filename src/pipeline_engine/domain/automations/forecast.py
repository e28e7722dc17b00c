"""Which automations will fire for which deals, and when. Looks only; nothing is claimed, changed or sent."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.conditions import of_automation, of_deal, of_selection
from pipeline_engine.domain.automations.explain import moves_deals, read_or_fault
from pipeline_engine.domain.automations.matching import flagged, fresh
from pipeline_engine.domain.explanation import Condition, Next, next_of
from pipeline_engine.ids import object_id
from pipeline_engine.repos.automation_repos import AutomationRepos

Document = Mapping[str, Any]

DEAL_FIELDS = (
    "_id",
    "account_id",
    "stage_id",
    "automation_starts",
    "automation_triggered",
    "automation_failed",
    "skip_automations",
    "retry_automations",
    "automation_generation",
)


@dataclass(frozen=True, order=True)
class Firing:
    """One automation for one deal. In the order of time; what moves the deal away comes last."""

    at: datetime
    last: bool
    automation: ObjectId
    deal: ObjectId
    entered: datetime
    type: str = field(compare=False)
    account: ObjectId = field(compare=False)
    moves_to: ObjectId | None = field(compare=False)
    why: str = field(compare=False)


@dataclass(frozen=True)
class Forecast:
    """`until`: up to here every firing is told; when more were found than wanted, earlier than was asked (`cut`)."""

    since: datetime
    until: datetime
    cut: bool
    firings: Sequence[Firing]


@dataclass(frozen=True)
class Plan:
    """An automation that is switched on, with how it stands and its units that wait for another attempt."""

    document: Document
    automation: Automation
    conditions: Sequence[Condition]
    units: Sequence[Document]

    def firing(self, deal: Document, now: datetime) -> Firing | None:
        """None when it will not fire by itself."""
        one = self.automation
        units = [unit for unit in self.units if unit["deal_id"] == deal["_id"]]
        own = [*of_deal(one, deal, now), *of_selection(self.document, one, deal, units, (), now)]
        found = next_of([*self.conditions, *own], Next("fires", now, "due now"))
        if found.what == "never" or found.at is None:
            return None
        target = object_id(one.config.get("target_stage_id")) if moves_deals(one) else None
        return Firing(
            at=found.at,
            last=target is not None,
            automation=one.id,
            deal=deal["_id"],
            entered=deal["automation_starts"],
            type=one.type,
            account=one.account_id,
            moves_to=target,
            why=found.why,
        )


async def forecast(app: App[AutomationRepos], ahead: timedelta, account_id: ObjectId | None, most: int) -> Forecast:
    """At most `most` firings from now on. Moves are followed into the next stage; each pair is told once."""
    now = app.clock.now()
    plans = await _plans(app, account_id, now)
    until = now + ahead
    deals: dict[ObjectId, Document] = {}
    firings: list[Firing] = []
    for plan in plans:
        found, whole_until = await _deals(app, plan.automation, now, until, most)
        firings += [firing for deal in found.values() if (firing := plan.firing(deal, now))]
        # What is beyond the last one wanted need not be looked for any more, nor kept.
        firings = heapq.nsmallest(most + 1, firings)
        until = min(until, whole_until, firings[-1].at if len(firings) > most else until)
        deals = {firing.deal: found.get(firing.deal) or deals[firing.deal] for firing in firings}
    told = takewhile(lambda firing: firing.at <= until, unfold(firings, deals, plans, now))
    listed = list(islice(told, most + 1))
    cut = until < now + ahead or len(listed) > most
    return Forecast(now, min(until, listed[most].at) if len(listed) > most else until, cut, listed[:most])


async def _plans(app: App[AutomationRepos], account_id: ObjectId | None, now: datetime) -> list[Plan]:
    documents = await app.repos.automation_outlook.switched_on(account_id)
    read = [(document, read_or_fault(document)) for document in documents]
    found = [(document, one) for document, one in read if isinstance(one, Automation)]
    accounts = {one.account_id for _, one in found}
    active = {account for account in accounts if await app.repos.automations.account_is_active(account)}
    plans = []
    for document, one in found:
        if one.account_id in active:
            units = await app.repos.automation_units.pending(one.account_id, one.id)
            plans.append(Plan(document, one, of_automation(document, one, True, now), units))
    return plans


async def _deals(
    app: App[AutomationRepos], automation: Automation, now: datetime, until: datetime, most: int
) -> tuple[dict[ObjectId, Document], datetime]:
    """Deals that will match by then, and the time up to which there are no others."""
    found: dict[ObjectId, Document] = {}
    for query in (fresh(automation, until), flagged(automation, until)):
        some = await app.repos.automation_deals.matching(query, most + 1)
        if len(some) > most:
            until = min(until, max(now, some[-1]["automation_starts"] + automation.delay))
        found |= {deal["_id"]: {name: deal[name] for name in DEAL_FIELDS if name in deal} for deal in some}
    return found, until


def unfold(
    firings: Iterable[Firing], deals: Mapping[ObjectId, Document], plans: Sequence[Plan], now: datetime
) -> Iterator[Firing]:
    """In the order of time: a deal that is moved fires in its new stage, and no more in the old one."""
    heap, current, told = list(firings), dict(deals), set[tuple[ObjectId, ObjectId]]()
    heapq.heapify(heap)
    while heap:
        firing = heapq.heappop(heap)
        pair = (firing.automation, firing.deal)
        if pair in told or firing.entered != current[firing.deal]["automation_starts"]:
            continue
        told.add(pair)
        yield firing
        if firing.moves_to:
            moved = current[firing.deal] = _moved(current[firing.deal], firing)
            here = (plan.firing(moved, now) for plan in plans if plan.automation.stage_id == firing.moves_to)
            for entered in filter(None, here):
                heapq.heappush(heap, entered)


def _moved(deal: Document, by: Firing) -> Document:
    done = [*(deal.get("automation_triggered") or ()), by.automation]
    return {**deal, "stage_id": by.moves_to, "automation_starts": by.at, "automation_triggered": done}
