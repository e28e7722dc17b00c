"""Records what became of deals: done, given up, or put off to another attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.marks import done_mark, failed_mark, unit_key
from pipeline_engine.domain.automations.matching import fresh
from pipeline_engine.ids import either
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.automation_units import FailedUnit

Deal = Mapping[str, Any]

RETRY_SECONDS = 4.0
"""From one attempt to the next, as the seed has it."""
UNMARKABLE_RETRY_SECONDS = 3600.0
"""For a deal that MongoDB refuses to let the engine mark."""


@dataclass(frozen=True)
class Failure:
    """A deal for which an attempt failed, the `attempts`th; another one, if any, comes `after` so many seconds. `code`:
    that of the refusal, where it was one."""

    deal: Deal
    error: str
    attempts: int
    after: float = RETRY_SECONDS
    code: str = ""


def entries(deals: Iterable[Deal]) -> dict[ObjectId, datetime]:
    """{deal: when it entered the stage}."""
    return {deal["_id"]: deal["automation_starts"] for deal in deals}


async def done(app: App[AutomationRepos], automation: Automation, entered: Mapping[ObjectId, datetime]) -> None:
    """Mark deals for which the automation took effect, for {deal: entry}, whatever stage they are in by now."""
    if not entered:
        return
    guard = {"account_id": either(automation.account_id)}
    changed = await app.repos.automation_deals.apply_change(guard, list(entered), done_mark(automation, entered))
    refused = changed.refused
    await _set_aside(app, automation, refused, {id: {"_id": id, "automation_starts": entered[id]} for id in refused})


async def give_up(app: App[AutomationRepos], automation: Automation, failures: Sequence[Failure]) -> None:
    """Mark deals as failed for good."""
    if not failures:
        return
    # The reason first, the mark second: a deal that is marked always has its reason.
    await app.repos.automation_units.save_parked([_unit(automation, one) for one in failures])
    deals = {one.deal["_id"]: one.deal for one in failures}
    guard = fresh(automation, app.clock.now())
    changed = await app.repos.automation_deals.apply_change(guard, list(deals), failed_mark(automation))
    await _set_aside(app, automation, changed.refused, deals)


async def put_off(app: App[AutomationRepos], automation: Automation, failures: Iterable[Failure]) -> None:
    """Have these tried again, each after its pause."""
    now = app.clock.now()
    units = [_unit(automation, one, now + timedelta(seconds=one.after)) for one in failures]
    await app.repos.automation_units.save_pending(units)


async def _set_aside(
    app: App[AutomationRepos], automation: Automation, refused: Mapping[ObjectId, str], deals: Mapping[ObjectId, Deal]
) -> None:
    """Put off deals that cannot be marked: they would be found again at once, for ever."""
    await put_off(app, automation, [_unmarkable(deals[id], why) for id, why in refused.items()])


def _unmarkable(deal: Deal, why: str) -> Failure:
    return Failure(deal, f"the deal cannot be marked: {why}", 1, UNMARKABLE_RETRY_SECONDS)


def _unit(automation: Automation, failure: Failure, next_at: datetime | None = None) -> FailedUnit:
    return FailedUnit(
        id=unit_key(automation, failure.deal),
        account_id=automation.account_id,
        automation_id=automation.id,
        deal_id=failure.deal["_id"],
        attempts=failure.attempts,
        error=failure.error,
        code=failure.code,
        next_at=next_at,
    )
