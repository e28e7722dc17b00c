"""Gives the deal to another owner."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.automations.action import UpdateDeal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.repos.deal_change import DealChange


def change(automation: Automation) -> DealChange:
    return DealChange(set={"owner": automation.reference("owner_id")})


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"users": [automation.reference("owner_id")]}


ACTION = UpdateDeal(change, points_at)
