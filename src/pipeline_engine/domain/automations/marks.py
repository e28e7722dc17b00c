"""The marks on a deal that say what an automation did with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.repos.deal_change import DealChange


def done_mark(automation: Automation, entries: Mapping[ObjectId, datetime] | None = None) -> DealChange:
    """Set with the effect or after it. Done and failed are never both true, also when the deal comes round again.

    `entries`: {deal: entry} that the effect was for, where the deal may have entered again since.
    """
    entry = _looked_up(entries) if entries else "$automation_starts"
    return _moved(automation, "automation_failed", "automation_triggered", entry)


def failed_mark(automation: Automation) -> DealChange:
    return _moved(automation, "automation_triggered", "automation_failed", "$automation_starts")


def _moved(automation: Automation, out_of: str, into: str, entry: object) -> DealChange:
    id = automation.id
    compute = _entry_mark(automation, entry)
    return DealChange(add={into: [id]}, remove={out_of: [id, str(id)]}, compute=compute)


def _entry_mark(automation: Automation, entry: object) -> dict[str, Any]:
    """Under `per_entry`: which entry this was."""
    return {} if automation.reentry == "once" else {f"automation_generation.{automation.id}.entry": entry}


def _looked_up(entries: Mapping[ObjectId, datetime]) -> object:
    place = {"$indexOfArray": [list(entries), "$_id"]}
    return {"$arrayElemAt": [list(entries.values()), place]}
