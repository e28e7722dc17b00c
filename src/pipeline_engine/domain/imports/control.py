"""What a person does to an import from outside: look it up, cancel it, retry it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.finish import CHUNK_RETENTION
from pipeline_engine.domain.imports.request import check_key, read_key
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos

MAX_RETRY_AGE = CHUNK_RETENTION - timedelta(days=1)
"""How long after its end an import may be retried: its chunks, which say what is done, must outlive the wait for a
daemon."""


async def look_up(app: App[ImportRepos], import_id: ObjectId) -> Mapping[str, Any]:
    """Return the queue document. Raises: Permanent `not_found`."""
    found = await app.repos.imports.get(import_id)
    if found is None:
        raise Permanent(f"there is no import {import_id}", "not_found")
    return found


async def cancel(app: App[ImportRepos], import_id: ObjectId) -> str:
    """Request the end of an import: the run that has it, or the next one, ends it within a chunk. Its deals stay.

    Returns its status at the time of the request: pending or processing. Raises: Permanent `not_found` or `ended`.
    """
    if requested := await app.repos.imports.request_cancel(import_id):
        return str(requested["status"])
    status = (await look_up(app, import_id))["status"]
    raise Permanent(f"import {import_id} is {status}: there is nothing to cancel", "ended")


async def retry(app: App[ImportRepos], import_id: ObjectId) -> None:
    """Make a failed or cancelled import pending again: rows that are done stay done, the others get all attempts anew.

    They are read from the file as it is then, also when it was replaced. One update does it. What else must change is
    written into the document, and the run that claims it carries it out.

    Raises: Permanent `not_found`, `not_ended` or `too_old`.
    """
    found = await look_up(app, import_id)
    if _too_old(found.get("completed_at"), app.clock.now()):
        raise Permanent(
            f"import {import_id} ended over {MAX_RETRY_AGE.days} days ago: import the file again", "too_old"
        )
    if await app.repos.imports.retry(import_id) is None:
        status = (await look_up(app, import_id))["status"]
        raise _not_ended(import_id, status)


async def replace_file(app: App[ImportRepos], import_id: ObjectId, file: AsyncIterator[bytes]) -> None:
    """Put another file in the place of that of a failed or cancelled import, for a retry to read.

    Raises: Permanent `not_found` or `not_ended`; ImportRefused when the import has no key; what the storage raises.
    """
    queue = await look_up(app, import_id)
    if queue["status"] not in ("failed", "cancelled"):
        raise _not_ended(import_id, queue["status"])
    account_id = object_id(queue.get("account_id"))
    if account_id is None:
        raise Permanent(f"import {import_id} has no account", "bad_request")
    key = check_key(read_key(queue), account_id, app.settings.import_key_prefix)
    await app.storage.put_stream(key, file, "text/csv")


def _not_ended(import_id: ObjectId, status: str) -> Permanent:
    return Permanent(f"import {import_id} is {status}: only a failed or cancelled one is tried again", "not_ended")


def _too_old(ended_at: datetime | None, now: datetime) -> bool:
    return ended_at is not None and ended_at < now - MAX_RETRY_AGE
