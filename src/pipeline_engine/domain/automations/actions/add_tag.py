"""Adds one or several tags."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.automations.action import Guarded
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.tags import tag_ids, tags_of
from pipeline_engine.repos.automation_deals import list_of


def change(automation: Automation) -> dict[str, Any]:
    there = {"$in": ["$$tag", list_of("tags")]}
    missing = {"$filter": {"input": {"$literal": tags_of(automation)}, "as": "tag", "cond": {"$not": there}}}
    return {"tags": {"$concatArrays": [list_of("tags"), missing]}}


ACTION = Guarded(change, points_at=tag_ids)
