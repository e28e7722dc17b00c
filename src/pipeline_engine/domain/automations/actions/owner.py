"""Gives the deal to another owner."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations.action import Guarded
from pipeline_engine.domain.automations.automation import Automation


def change(automation: Automation) -> dict[str, Any]:
    return {"owner": automation.reference("owner_id")}


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"users": [automation.reference("owner_id")]}


ACTION = Guarded(change, points_at)
