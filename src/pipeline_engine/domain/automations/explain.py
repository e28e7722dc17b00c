"""Why an automation fires for a deal, or does not; what has happened so far, and what happens next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation, read_or_fault
from pipeline_engine.domain.automations.conditions import of_automation, of_deal, of_selection
from pipeline_engine.domain.automations.selection import automations_ahead
from pipeline_engine.domain.explanation import Condition, Next, next_of, step_detail
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.automation_repos import AutomationRepos

Document = Mapping[str, Any]


@dataclass(frozen=True)
class HistoryEntry:
    """One thing that was recorded. `ambiguous`: the message may have gone out twice."""

    at: datetime
    source: str
    """log, unit or effect"""
    state: str
    attempts: int | None = None
    ambiguous: bool = False
    detail: str = ""


@dataclass(frozen=True)
class AutomationExplanation:
    """`history` is in the order of time."""

    automation: ObjectId
    type: str
    deal: ObjectId
    conditions: Sequence[Condition]
    history: Sequence[HistoryEntry]
    next: Next


async def explain(app: App[AutomationRepos], automation_id: ObjectId, deal_id: ObjectId) -> AutomationExplanation:
    """Raises: Permanent `not_found` naming what does not exist."""
    records = app.repos.automation_records
    document, deal = await app.repos.automations.get(automation_id), await records.deal(deal_id)
    if document is None or deal is None:
        missing = f"automation {automation_id}" if document is None else f"deal {deal_id}"
        raise Permanent(f"there is no {missing}", "not_found")
    automation, now = read_or_fault(document), app.clock.now()
    account_id = document.get("account_id")
    active = await app.repos.automations.account_is_active(object_id(account_id) or account_id)
    conditions = of_automation(document, automation, active, now)
    history: Sequence[HistoryEntry] = ()
    if isinstance(automation, Automation):
        about = (automation.account_id, automation_id, deal_id)
        units = await records.units(*about)
        history = history_of(units, await records.effects(*about), await records.logs(*about))
        conditions += of_deal(automation, deal, now)
        ahead = await automations_ahead(app, automation)
        conditions += of_selection(document, automation, deal, units, ahead, now)
    due = Next("fires", now, f"at the next look, within {app.settings.automation_sweep_seconds:g} s")
    kind = str(document.get("type"))
    return AutomationExplanation(automation_id, kind, deal_id, conditions, history, next_of(conditions, due))


def history_of(
    units: Iterable[Document], effects: Iterable[Document], logs: Iterable[Document]
) -> Sequence[HistoryEntry]:
    """What these documents record, in the order of time. Pure."""
    found = [*map(_unit, units), *map(_log, logs), *(step for effect in effects for step in _effect(effect))]
    return sorted(found, key=lambda one: one.at)


def _unit(unit: Document) -> HistoryEntry:
    detail = clean(str(unit["last_error"]))
    return HistoryEntry(unit["updatedAt"], "unit", unit["state"], unit["attempts"], detail=detail)


def _log(log: Document) -> HistoryEntry:
    """`success` and `failed` of the log hold at most this deal's entry."""
    at = log.get("updatedAt") or log["createdAt"]
    if log.get("success"):
        return HistoryEntry(at, "log", "success")
    if failed := log.get("failed"):
        return HistoryEntry(at, "log", "failed", detail=clean(str(failed[0].get("message"))))
    return HistoryEntry(at, "log", log.get("state") or "closed", detail="neither done nor failed so far")


def _effect(effect: Document) -> Iterator[HistoryEntry]:
    """One entry per step of the effect's history; the last one says how the effect stands."""
    steps = effect["history"]
    for step in steps[:-1]:
        yield HistoryEntry(step["at"], "effect", step["state"], detail=step_detail(effect, step))
    if not steps:
        return
    last = steps[-1]
    known = (effect["channel"], effect.get("provider_id"), effect.get("error"))
    yield HistoryEntry(
        at=last["at"],
        source="effect",
        state=last["state"],
        attempts=effect["attempts"],
        ambiguous=bool(effect.get("ambiguous")),
        detail=clean(", ".join(str(one) for one in known if one)),
    )
