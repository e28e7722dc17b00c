"""The marks on a deal that say what an automation did with it, as parts of pipeline updates. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.repos.automation_deals import with_mark, without

Changes = dict[str, Any]


def done_mark(automation: Automation, entries: Mapping[ObjectId, datetime] | None = None) -> Changes:
    """Set with the effect or after it. Done and failed are never both true, also when the deal comes round again.

    `entries`: {deal: entry} that the effect was for, where the deal may have entered again since.
    """
    lists = with_mark("automation_triggered", automation.id) | without("automation_failed", automation.id)
    return {**lists, **_entry_mark(automation, _looked_up(entries) if entries else "$automation_starts")}


def failed_mark(automation: Automation) -> Changes:
    lists = with_mark("automation_failed", automation.id) | without("automation_triggered", automation.id)
    return {**lists, **_entry_mark(automation, "$automation_starts")}


def _entry_mark(automation: Automation, entry: object) -> Changes:
    """Under `per_entry`: which entry this was."""
    return {} if automation.reentry == "once" else {f"automation_generation.{automation.id}.entry": entry}


def _looked_up(entries: Mapping[ObjectId, datetime]) -> object:
    place = {"$indexOfArray": [list(entries), "$_id"]}
    return {"$arrayElemAt": [list(entries.values()), place]}
