"""Takes one or several tags away."""

from __future__ import annotations

from pipeline_engine.domain.automations.action import UpdateDeal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.repos.deal_change import DealChange


def change(automation: Automation) -> DealChange:
    return DealChange(remove={"tags": automation.tags})


ACTION = UpdateDeal(change, points_at=Automation.tag_references)
