"""Adds one or several followers."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.automations.action import UpdateDeal
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.deal_change import DealChange


def followers(automation: Automation) -> list[ObjectId]:
    """Raises: Permanent when there is none, or one that is no id."""
    named = automation.config.get("follower_ids") or [automation.config.get("follower_id")]
    found = [object_id(one) for one in named] if isinstance(named, list) else [None]
    if None in found:
        raise Permanent("the automation has no valid follower_id or follower_ids", "bad_automation")
    return [one for one in found if one]


def change(automation: Automation) -> DealChange:
    return DealChange(add={"followers": followers(automation)})


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"users": followers(automation)}


ACTION = UpdateDeal(change, points_at)
