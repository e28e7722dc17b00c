"""Adds one or several tags."""

from __future__ import annotations

from pipeline_engine.domain.automations.action import UpdateDeal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.tags import tag_ids, tags_of
from pipeline_engine.repos.deal_change import DealChange


def change(automation: Automation) -> DealChange:
    return DealChange(add={"tags": tags_of(automation)})


ACTION = UpdateDeal(change, points_at=tag_ids)
