"""Moves the deal to another stage; there its time begins anew."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.automations.action import UpdateDeal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.repos.deal_change import DealChange


def change(automation: Automation) -> DealChange:
    # The filter holds the old stage, so this is a compare-and-set.
    return DealChange(set={"stage_id": automation.reference("target_stage_id")}, compute={"automation_starts": "$$NOW"})


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"pipeline_stages": [automation.reference("target_stage_id")]}


ACTION = UpdateDeal(change, points_at, moves=True)
