"""Writes down what became of deals: done, given up, or to be tried again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.marks import done_mark, failed_mark
from pipeline_engine.domain.automations.matching import fresh
from pipeline_engine.domain.automations.unit_key import unit_key
from pipeline_engine.ids import either
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.automation_units import Unit

Deal = Mapping[str, Any]

AGAIN = 4.0
"""The seed's pause between two attempts, in seconds."""
STUCK = 3600.0
"""So long a deal rests that the server does not even let us mark."""


@dataclass(frozen=True)
class Failure:
    """`attempts` were made so far; if there is to be another, `after` so many seconds."""

    deal: Deal
    error: str
    attempts: int
    after: float = AGAIN


def entries(deals: Iterable[Deal]) -> dict[ObjectId, datetime]:
    """{deal: when it entered the stage}."""
    return {deal["_id"]: deal["automation_starts"] for deal in deals}


async def done(app: App[AutomationRepos], automation: Automation, entered: Mapping[ObjectId, datetime]) -> None:
    """Mark what has taken effect, for {deal: entry}, wherever the deal has gone meanwhile."""
    if not entered:
        return
    guard = {"account_id": either(automation.account_id)}
    changed = await app.repos.automation_deals.change(guard, list(entered), done_mark(automation, entered))
    refused = changed.refused
    await _set_aside(app, automation, refused, {id: {"_id": id, "automation_starts": entered[id]} for id in refused})


async def give_up(app: App[AutomationRepos], automation: Automation, failures: Sequence[Failure]) -> None:
    """Reason first, mark second: a deal that is marked always has its reason."""
    if not failures:
        return
    await app.repos.automation_units.park([_unit(automation, one) for one in failures])
    deals = {one.deal["_id"]: one.deal for one in failures}
    guard = fresh(automation, app.clock.now())
    changed = await app.repos.automation_deals.change(guard, list(deals), failed_mark(automation))
    await _set_aside(app, automation, changed.refused, deals)


async def put_off(app: App[AutomationRepos], automation: Automation, failures: Iterable[Failure]) -> None:
    """Try these again after their pause."""
    now = app.clock.now()
    units = [_unit(automation, one, now + timedelta(seconds=one.after)) for one in failures]
    await app.repos.automation_units.put_off(units)


async def _set_aside(
    app: App[AutomationRepos], automation: Automation, refused: Mapping[ObjectId, str], deals: Mapping[ObjectId, Deal]
) -> None:
    """Deals that cannot be marked would be found again at once, for ever."""
    failures = [Failure(deals[id], f"the deal cannot be marked: {why}", 1, STUCK) for id, why in refused.items()]
    await put_off(app, automation, failures)


def _unit(automation: Automation, failure: Failure, next_at: datetime | None = None) -> Unit:
    return Unit(
        id=unit_key(automation, failure.deal),
        account_id=automation.account_id,
        automation_id=automation.id,
        deal_id=failure.deal["_id"],
        attempts=failure.attempts,
        error=failure.error,
        next_at=next_at,
    )
