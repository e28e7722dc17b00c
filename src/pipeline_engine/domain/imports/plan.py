"""Runs one import: claims it, runs the coordinator, and carries out the ending that it returns."""

from __future__ import annotations

from functools import partial

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.claimed import Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.imports.coordinator import LOOK_SECONDS, Coordinator
from pipeline_engine.domain.imports.ending import Ended, Ending, GoOn
from pipeline_engine.domain.imports.finish import finish
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused
from pipeline_engine.domain.imports.request import MISSING_KEY, read_request
from pipeline_engine.domain.imports.rows import close_chunk
from pipeline_engine.errors import Transient
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import Imports

WORTH_ANOTHER_ATTEMPT = {MISSING_KEY, UNREADABLE}
"""The refusals after which another attempt is made, as the seed asks: the upload may not have ended yet."""

ImportClaim = Claim[Imports]

log = logs.get(__name__)


async def run_import(app: App[ImportRepos], cache: ImportCache, import_id: ObjectId) -> Outcome | None:
    """Run the import until it has ended, its attempt has failed, or its slice is over; None when another run holds it.

    Raises: what pymongo raises when MongoDB is away.
    """
    run = ClaimedRun(
        noun="import",
        work=partial(_work, app, cache),
        give_up=partial(_give_up, app, cache),
        attempts=app.settings.import_attempts,
        pause=app.settings.import_retry_seconds,
        is_hopeless=_is_hopeless,
    )
    try:
        return await run_claimed(app, app.repos.imports, import_id, run, ImportClaim)
    finally:
        cache.ended.forget(import_id)


async def _work(app: App[ImportRepos], cache: ImportCache, claim: ImportClaim) -> Outcome | None:
    ending = await Coordinator(app, cache, claim, read_request(claim.document)).run()
    return await _settle(app, cache, claim, ending)


async def _give_up(
    app: App[ImportRepos], cache: ImportCache, claim: ImportClaim, failure: RunFailure
) -> Outcome | None:
    return await _settle(app, cache, claim, Ended("failed", failure.message))


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, ImportRefused) and error.code not in WORTH_ANOTHER_ATTEMPT


async def _settle(app: App[ImportRepos], cache: ImportCache, claim: ImportClaim, ending: Ending) -> Outcome | None:
    match ending:
        case GoOn():
            await claim.release()
            return Snooze()
        case Ended(status, error):
            await _close_chunks(app, cache, claim)
            return await _finish(app, claim, status, error)


async def _close_chunks(app: App[ImportRepos], cache: ImportCache, claim: ImportClaim) -> None:
    """Wait until no chunk is open, so that the totals can be computed: chunks that run may end, no other starts."""
    account_id, import_id = object_id(claim.document.get("account_id")), claim.document["_id"]
    chunks = app.repos.chunks
    while account_id and await chunks.count_open(account_id, import_id):
        await claim.change()
        await chunks.cancel_untouched(account_id, import_id)
        for chunk in await chunks.open_ids(account_id, import_id):
            await close_chunk(app, cache, chunk)
        await cache.ended.wait(import_id, LOOK_SECONDS)


async def _finish(app: App[ImportRepos], claim: ImportClaim, status: str, error: str | None) -> Outcome | None:
    try:
        await finish(app, claim.document, status, error)
    except Transient as unwritten:
        # The report needs the error CSV: the next run tries again, until the storage answers.
        log.warning("import.end_postponed", queue_id=str(claim.document["_id"]), error=unwritten)
        await claim.release()
        return Snooze(app.settings.import_retry_seconds)
    return None
