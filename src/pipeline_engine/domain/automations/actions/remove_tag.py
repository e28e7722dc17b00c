"""Takes one or several tags away."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.automations.action import Guarded
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.tags import tag_ids, tags_of
from pipeline_engine.repos.automation_deals import list_of


def change(automation: Automation) -> dict[str, Any]:
    unwanted = {"$in": ["$$tag", {"$literal": tags_of(automation)}]}
    return {"tags": {"$filter": {"input": list_of("tags"), "as": "tag", "cond": {"$not": unwanted}}}}


ACTION = Guarded(change, points_at=tag_ids)
