"""Runs one import: claims it, lets the planner work, and does what its ending asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.imports.coordinator import LOOK_SECONDS, Coordinator
from pipeline_engine.domain.imports.ending import Ended, Ending, GoOn, TryAgain
from pipeline_engine.domain.imports.finish import finish
from pipeline_engine.domain.imports.hold import Hold
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused
from pipeline_engine.domain.imports.request import MISSING_KEY, read_request
from pipeline_engine.domain.imports.rows import close_chunk
from pipeline_engine.errors import LeaseLost, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.lanes.classify_error import brief, expected, full, where
from pipeline_engine.repos.client import is_away

WORTH_ANOTHER_TRY = {MISSING_KEY, UNREADABLE}
"""Of all refusals the seed tries these again: the upload may not be through yet."""

log = logs.get(__name__)


async def plan(app: App, cache: ImportCache, import_id: ObjectId) -> Outcome | None:
    """Run the import until it has ended, fails, or has to let others go first.

    Raises: LeaseLost when somebody else took it over, and what MongoDB raises when it is away.
    """
    held = await app.imports.claim(import_id)
    if held is None:
        return None  # somebody else's, or no longer due
    hold = Hold(app.imports, held)
    with app.heartbeat.holding("queues", import_id):
        try:
            return await _settle(app, cache, hold, await _run(app, cache, hold))
        finally:
            cache.ended.forget(import_id)


async def _run(app: App, cache: ImportCache, hold: Hold) -> Ending:
    try:
        return await Coordinator(app, cache, hold, read_request(hold.document)).run()
    except LeaseLost:
        raise
    except Exception as error:
        if is_away(error):
            raise
        return _after(error, hold.document, app.settings.import_attempts)


def _after(error: Exception, held: Mapping[str, Any], attempts: int) -> Ending:
    """Another attempt, unless none is left or none can help."""
    # Not the message of a foreign exception: it may quote a cell.
    facts = {"error": brief(error)} if expected(error) else {"error": brief(error), "where": where(error)}
    log.warning("import attempt failed", queue_id=str(held["_id"]), attempt=held["attempts"], **facts)
    hopeless = isinstance(error, ImportRefused) and error.code not in WORTH_ANOTHER_TRY
    last = held["attempts"] >= attempts
    return Ended("failed", full(error)) if hopeless or last else TryAgain(full(error))


async def _settle(app: App, cache: ImportCache, hold: Hold, ending: Ending) -> Outcome | None:
    match ending:
        case GoOn():
            await hold.release()
            return Snooze()
        case TryAgain(error):
            await hold.release(status="pending", error=error)
            return Snooze(after=app.settings.import_retry_seconds)
        case Ended(status, error):
            await _close_chunks(app, cache, hold)
            return await _finish(app, hold, status, error)


async def _close_chunks(app: App, cache: ImportCache, hold: Hold) -> None:
    """Before the figures are told: what runs may end, nothing else starts."""
    account_id, import_id = object_id(hold.document.get("account_id")), hold.document["_id"]
    while account_id and await app.chunks.open(account_id, import_id):
        await hold.change()
        await app.chunks.cancel_untouched(account_id, import_id)
        for chunk in await app.chunks.open_ids(account_id, import_id):
            await close_chunk(app, cache, chunk)
        await cache.ended.wait(import_id, LOOK_SECONDS)


async def _finish(app: App, hold: Hold, status: str, error: str | None) -> Outcome | None:
    try:
        await finish(app, hold.document, status, error)
    except Transient as unwritten:
        # Without its error CSV the report would not be whole: the storage is asked again until it answers.
        log.warning("import cannot be ended yet", queue_id=str(hold.document["_id"]), error=unwritten)
        await hold.release()
        return Snooze(after=app.settings.import_retry_seconds)
    return None
