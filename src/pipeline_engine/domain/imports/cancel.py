"""Ends an import before its last row."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.look_up import look_up
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos


async def cancel(app: App[ImportRepos], import_id: ObjectId) -> str:
    """Ask for the end: whoever runs the import, or claims it next, ends it within a chunk. Rows imported stay.

    Returns its status when it was asked: pending or processing. Raises: Permanent `not_found` or `ended`.
    """
    if asked := await app.repos.imports.request_cancel(import_id):
        return str(asked["status"])
    status = (await look_up(app, import_id))["status"]
    raise Permanent(f"import {import_id} is {status}: there is nothing to cancel", "ended")
