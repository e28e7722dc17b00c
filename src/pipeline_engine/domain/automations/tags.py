"""The tags that an automation names, as `tag` or `tags[]`."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id


def tags_of(automation: Automation) -> list[Any]:
    """Raises: Permanent when there is none."""
    tags = automation.config.get("tags") or [automation.config.get("tag")]
    if not isinstance(tags, list) or not any(tags):
        raise Permanent("the automation has neither tag nor tags", "bad_automation")
    return [tag for tag in tags if tag]


def tag_ids(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"tags": [tag for tag in map(object_id, tags_of(automation)) if tag]}
