"""Which automations will fire for which deals, and when. It only reads: nothing is claimed, changed or sent."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.actions.table import moves_deals
from pipeline_engine.domain.automations.automation import Automation, read_or_fault
from pipeline_engine.domain.automations.conditions import of_automation, of_deal, of_selection
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
    """One automation for one deal. Firings are ordered by time; at one time, what moves the deal away comes last."""

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
    """`until`: every firing up to here is listed; `cut`: that is earlier than was asked, because there are too many."""

    since: datetime
    until: datetime
    cut: bool
    firings: Sequence[Firing]


@dataclass(frozen=True)
class Candidate:
    """An automation that is switched on, its conditions, and its units that wait for another attempt."""

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
        target = object_id(one.config.get("target_stage_id")) if moves_deals(one.type) else None
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


async def forecast(app: App[AutomationRepos], ahead: timedelta, account_id: ObjectId | None, limit: int) -> Forecast:
    """At most `limit` firings from now on, of one account or of all. A deal that is moved is followed into its next
    stage; each pair of automation and deal is listed once."""
    now = app.clock.now()
    candidates = await _candidates(app, account_id, now)
    until = now + ahead
    deals: dict[ObjectId, Document] = {}
    firings: list[Firing] = []
    for candidate in candidates:
        found, whole_until = await _deals(app, candidate.automation, now, until, limit)
        firings += [firing for deal in found.values() if (firing := candidate.firing(deal, now))]
        # What is beyond the last one wanted need not be looked for any more, nor kept.
        firings = heapq.nsmallest(limit + 1, firings)
        until = min(until, whole_until, firings[-1].at if len(firings) > limit else until)
        deals = {firing.deal: found.get(firing.deal) or deals[firing.deal] for firing in firings}
    in_time = takewhile(lambda firing: firing.at <= until, unfold(firings, deals, candidates, now))
    listed = list(islice(in_time, limit + 1))
    cut = until < now + ahead or len(listed) > limit
    return Forecast(now, min(until, listed[limit].at) if len(listed) > limit else until, cut, listed[:limit])


async def _candidates(app: App[AutomationRepos], account_id: ObjectId | None, now: datetime) -> list[Candidate]:
    documents = await app.repos.automation_records.switched_on(account_id)
    read = [(document, read_or_fault(document)) for document in documents]
    found = [(document, one) for document, one in read if isinstance(one, Automation)]
    accounts = {one.account_id for _, one in found}
    active = {account for account in accounts if await app.repos.automations.account_is_active(account)}
    candidates = []
    for document, one in found:
        if one.account_id in active:
            units = await app.repos.automation_units.find_pending(one.account_id, one.id)
            candidates.append(Candidate(document, one, of_automation(document, one, True, now), units))
    return candidates


async def _deals(
    app: App[AutomationRepos], automation: Automation, now: datetime, until: datetime, limit: int
) -> tuple[dict[ObjectId, Document], datetime]:
    """Deals that match by `until`, and the time up to which there are no others."""
    found: dict[ObjectId, Document] = {}
    for query in (fresh(automation, until), flagged(automation, until)):
        some = await app.repos.automation_deals.find_matching(query, limit + 1)
        if len(some) > limit:
            until = min(until, max(now, some[-1]["automation_starts"] + automation.delay))
        found |= {deal["_id"]: {name: deal[name] for name in DEAL_FIELDS if name in deal} for deal in some}
    return found, until


def unfold(
    firings: Iterable[Firing], deals: Mapping[ObjectId, Document], candidates: Sequence[Candidate], now: datetime
) -> Iterator[Firing]:
    """The firings in the order of time, with those that follow from moves: a deal that is moved fires in its new stage,
    and no longer in the old one."""
    heap, current, seen = list(firings), dict(deals), set[tuple[ObjectId, ObjectId]]()
    heapq.heapify(heap)
    while heap:
        firing = heapq.heappop(heap)
        pair = (firing.automation, firing.deal)
        if pair in seen or firing.entered != current[firing.deal]["automation_starts"]:
            continue
        seen.add(pair)
        yield firing
        if firing.moves_to:
            moved = current[firing.deal] = _moved(current[firing.deal], firing)
            here = (
                candidate.firing(moved, now)
                for candidate in candidates
                if candidate.automation.stage_id == firing.moves_to
            )
            for entered in filter(None, here):
                heapq.heappush(heap, entered)


def _moved(deal: Document, by: Firing) -> Document:
    done = [*(deal.get("automation_triggered") or ()), by.automation]
    return {**deal, "stage_id": by.moves_to, "automation_starts": by.at, "automation_triggered": done}
