"""Finds one import by its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos


async def look_up(app: App[ImportRepos], import_id: ObjectId) -> Mapping[str, Any]:
    """The queue document. Raises: Permanent `not_found`."""
    found = await app.repos.imports.get(import_id)
    if found is None:
        raise Permanent(f"there is no import {import_id}", "not_found")
    return found
