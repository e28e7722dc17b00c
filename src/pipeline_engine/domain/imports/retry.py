"""Takes up an import that failed or was cancelled."""

from __future__ import annotations

from datetime import datetime, timedelta

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.finish import CHUNKS_KEPT
from pipeline_engine.domain.imports.look_up import look_up
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos

LATEST = CHUNKS_KEPT - timedelta(days=1)
"""The ledger that says which rows are done must outlive the wait for a daemon."""


async def retry(app: App[ImportRepos], import_id: ObjectId) -> None:
    """Make it pending again; rows that are done stay done, the others are worked off with all attempts before them.

    One update does it: what else must change is written into the document and follows when a run claims it.

    Raises: Permanent `not_found`, `not_ended` or `too_old`.
    """
    found = await look_up(app, import_id)
    if _too_old(found.get("completed_at"), app.clock.now()):
        raise Permanent(f"import {import_id} ended over {LATEST.days} days ago: import the file again", "too_old")
    if await app.repos.imports.retry(import_id) is None:
        status = (await look_up(app, import_id))["status"]
        raise Permanent(f"import {import_id} is {status}: only a failed or cancelled one is tried again", "not_ended")


def _too_old(ended_at: datetime | None, now: datetime) -> bool:
    return ended_at is not None and ended_at < now - LATEST
