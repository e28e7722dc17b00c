"""Which deals an automation fires for, as filters on `deals`. Pure; sweep and run use the same filters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.ids import either

Filter = dict[str, Any]

NOT_NAN: Filter = {"$ne": math.nan}
"""No mark can be found under an id that is not equal to itself, so such a deal would come again for ever."""
SETTLED = ("automation_triggered", "automation_failed", "skip_automations")


def present(automation: Automation, now: datetime) -> Filter:
    """Deals of the account that are in the stage and entered it within the window."""
    # A list of dates is no time of entry, though one of them may lie within the window.
    window = {"$gte": automation.since, "$lte": automation.until(now), "$not": {"$type": "array"}}
    return {
        "account_id": either(automation.account_id),
        "stage_id": either(automation.stage_id),
        "automation_starts": window,
        "_id": NOT_NAN,
    }


def unsettled(automation: Automation) -> Filter:
    """Deals neither done, nor failed, nor to be skipped; under `per_entry` not since they entered the stage."""
    never = {field: {"$nin": either(automation.id)["$in"]} for field in SETTLED}
    if automation.reentry == "once":
        return never
    entry = f"automation_generation.{automation.id}.entry"
    again = {
        entry: {"$type": "date"},
        "$expr": {"$ne": [f"${entry}", "$automation_starts"]},
        "skip_automations": never["skip_automations"],
    }
    return {"$or": [never, again]}


def fresh(automation: Automation, now: datetime, after: datetime | None = None) -> Filter:
    """Deals that are due for the first time; `after`: only those that entered later (the others are settled)."""
    due = {**present(automation, now), **unsettled(automation)}
    if after and after > automation.since:
        due["automation_starts"] = {"$gt": after, "$lte": automation.until(now), "$not": {"$type": "array"}}
    return due


def flagged(automation: Automation, now: datetime) -> Filter:
    """Deals that are flagged to be done again."""
    # The partial index needs the first condition.
    wanted = {"retry_automations.0": {"$exists": True}, "retry_automations": either(automation.id)}
    return {**present(automation, now), **wanted}


def others_first(siblings: Iterable[Automation], now: datetime) -> Filter:
    """For an automation that moves deals away: only deals for which no other automation of the stage is due."""
    due = [one for sibling in siblings for one in (fresh(sibling, now), flagged(sibling, now))]
    return {"$nor": due} if due else {}
