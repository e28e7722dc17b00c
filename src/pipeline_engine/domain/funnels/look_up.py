"""Finds one clone by its funnel's id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos


async def look_up(app: App[FunnelRepos], funnel_id: ObjectId) -> Mapping[str, Any]:
    """The funnel. Raises: Permanent `not_found`, also when it is no clone and is not to become one."""
    found = await app.repos.funnels.get(funnel_id)
    if found is None or not (found.get("original_funnel_id") or found.get("clone") or found.get("pending")):
        raise Permanent(f"there is no clone {funnel_id}", "not_found")
    return found
