"""What a deal says about an automation: the marks it gets, and the generation that names its unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.earlier_sends import MAX_EARLIER_SENDS
from pipeline_engine.repos.deal_change import DealChange
from pipeline_engine.repos.expressions import whole

LISTS = ("retry_automations", "automation_triggered", "automation_failed", "skip_automations")


def unit_key(automation: Automation, deal: Mapping[str, Any]) -> str:
    """`<automation>:<deal>:<generation>`. The generation is 0 and grows with every repeat that is asked for;
    under `per_entry` it begins with the time of entry."""
    return _key(automation, deal, _repeats(automation, deal))


def earlier_keys(automation: Automation, deal: Mapping[str, Any]) -> list[str]:
    """The keys of the unit's generations before the present one; of very many only the latest."""
    repeats = _repeats(automation, deal)
    count = repeats if isinstance(repeats, int) else 0
    return [_key(automation, deal, n) for n in range(max(0, count - MAX_EARLIER_SENDS), count)]


def _repeats(automation: Automation, deal: Mapping[str, Any]) -> int | float:
    stored = (deal.get("automation_generation") or {}).get(str(automation.id), 0)
    repeats = stored.get("repeats", 0) if isinstance(stored, Mapping) else stored
    return repeats if isinstance(repeats, int | float) else 0


def _key(automation: Automation, deal: Mapping[str, Any], repeats: float) -> str:
    if automation.reentry == "once":
        return f"{automation.id}:{deal['_id']}:{repeats}"
    entry = round(deal["automation_starts"].timestamp() * 1000)
    return f"{automation.id}:{deal['_id']}:{entry}" + (f".{repeats}" if repeats else "")


def done_mark(automation: Automation, entries: Mapping[ObjectId, datetime] | None = None) -> DealChange:
    """Set with the effect or after it. Done and failed are never both true, also when the deal comes round again.

    `entries`: {deal: entry} that the effect was for, where the deal may have entered again since.
    """
    entry = _looked_up(entries) if entries else "$automation_starts"
    return _moved(automation, "automation_failed", "automation_triggered", entry)


def failed_mark(automation: Automation) -> DealChange:
    """Set when the automation has failed for good for the deal as it stands."""
    return _moved(automation, "automation_triggered", "automation_failed", "$automation_starts")


def new_generation(automation: Automation) -> DealChange:
    """Takes away the flag that asks for a repeat and all marks, and makes the unit's generation one higher."""
    mark = [automation.id, str(automation.id)]
    field = f"automation_generation.{automation.id}"
    # Under `once` the field is the number itself; a change of `reentry` may have left the other form there.
    repeats = {"$max": [whole(f"${field}"), whole(f"${field}.repeats")]}
    counter = field if automation.reentry == "once" else f"{field}.repeats"
    return DealChange(remove=dict.fromkeys(LISTS, mark), compute={counter: {"$add": [repeats, 1]}})


def _moved(automation: Automation, out_of: str, into: str, entry: object) -> DealChange:
    id = automation.id
    return DealChange(add={into: [id]}, remove={out_of: [id, str(id)]}, compute=_entry_mark(automation, entry))


def _entry_mark(automation: Automation, entry: object) -> dict[str, Any]:
    """Under `per_entry`: which entry into the stage the mark is for."""
    return {} if automation.reentry == "once" else {f"automation_generation.{automation.id}.entry": entry}


def _looked_up(entries: Mapping[ObjectId, datetime]) -> object:
    place = {"$indexOfArray": [list(entries), "$_id"]}
    return {"$arrayElemAt": [list(entries.values()), place]}
