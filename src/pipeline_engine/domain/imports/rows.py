"""Works off one chunk of an import: each row becomes a deal or an error, and the chunk stores how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import CRASHED, MAX_SHARED_CRASHES, Claim, ClaimedRun, RunFailure, run_claimed
from pipeline_engine.domain.imports.csv.chunks import Chunk, Piece
from pipeline_engine.domain.imports.csv.parse import parse
from pipeline_engine.domain.imports.csv.row import Row, RowError
from pipeline_engine.domain.imports.deal import deal_id
from pipeline_engine.domain.imports.dry_run import stage_rows
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.import_context import ImportContext, read_context
from pipeline_engine.domain.imports.inserting import Inserted, insert
from pipeline_engine.domain.imports.repeated import find_repeated
from pipeline_engine.domain.imports.retry_rows import Numbered, renumber
from pipeline_engine.domain.imports.row_facts import row_facts
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.lanes import Outcome
from pipeline_engine.repos.import_chunks import ImportChunks
from pipeline_engine.repos.import_repos import ImportRepos


async def run_chunk(app: App[ImportRepos], cache: ImportCache, chunk_id: str) -> Outcome | None:
    """Claim the chunk and work it off; returns None when it is done or another run holds it.

    Raises: what pymongo raises when MongoDB is away.
    """
    run = ClaimedRun(
        noun="chunk",
        work=partial(_work, app, cache),
        give_up=partial(_end_failed, app, cache),
        attempts=app.settings.import_attempts,
        pause=app.settings.import_retry_seconds,
        crashes=MAX_SHARED_CRASHES,  # a process has up to eight chunks
        is_hopeless=_is_hopeless,
    )
    try:
        return await run_claimed(app, app.repos.chunks, chunk_id, run, Claim[ImportChunks])
    finally:
        cache.pieces.take(chunk_id)


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, Permanent) and error.code == CRASHED


async def _end_failed(
    app: App[ImportRepos], cache: ImportCache, claim: Claim[ImportChunks], failure: RunFailure
) -> Outcome | None:
    await _give_up(app, cache, claim.document, "failed", failure.message)
    return None


async def _work(app: App[ImportRepos], cache: ImportCache, claim: Claim[ImportChunks]) -> None:
    held = claim.document
    context = await _context(app, cache, held)
    if not await app.repos.imports.may_go_on(held["queue_id"], context.account_ref):
        await _give_up(app, cache, held, "cancelled")
        return
    piece = cache.pieces.take(held["_id"]) or await _read(app, context, held)
    parsed = await parse(piece, context.file.dialect, context.mapper, guarded=context.file.is_report)
    numbered = await _numbered(context, claim, parsed.rows, parsed.errors)
    claim.check()
    repeated = await find_repeated(app, context, numbered.rows)
    rows = [row for row in numbered.rows if row.row not in repeated]
    facts: dict[str, Any] = {}
    if context.request.dry_run:
        done = Inserted(len(rows), 0, [], frozenset())
        facts = {"stage_rows": stage_rows(rows, context.stage_place)}
    else:
        done = await insert(app, context, rows, numbered.positions)
    errors = sorted([*numbered.errors, *done.refused])
    facts |= row_facts([row for row in rows if row.row not in done.left_out])
    skipped = parsed.skipped + len(repeated) + done.skipped
    figures = {"created": done.created, "updated": 0, "skipped": skipped, "failed": len(errors)}
    await _end(app, cache, held, "done", **figures, **facts, errors=[error._asdict() for error in errors])


async def _numbered(
    context: ImportContext, claim: Claim[ImportChunks], rows: list[Row], errors: list[RowError]
) -> Numbered:
    """The rows under their own numbers; those of a corrected error CSV under the numbers of the first import."""
    if context.retry_place is None:
        return Numbered(rows, errors, {})
    numbered = renumber(rows, errors, context.retry_place)
    # `_give_up` counts the deals of these rows without reading the file.
    await claim.change(retry={"root": context.root, "rows": list(numbered.positions)})
    return numbered


async def close_chunk(app: App[ImportRepos], cache: ImportCache, chunk_id: str) -> None:
    """Cancel a chunk that a run began and released. Does nothing when another run holds it.

    A chunk that cannot be claimed or changed is set aside, so that its import need not wait for it.
    """
    run = ClaimedRun("chunk", partial(_cancel, app, cache), partial(_end_failed, app, cache), attempts=1)
    await run_claimed(app, app.repos.chunks, chunk_id, run, Claim[ImportChunks])


async def _cancel(app: App[ImportRepos], cache: ImportCache, claim: Claim[ImportChunks]) -> None:
    await _give_up(app, cache, claim.document, "cancelled")


async def _give_up(
    app: App[ImportRepos], cache: ImportCache, held: Mapping[str, Any], state: str, error: str | None = None
) -> None:
    """End the chunk as it is. Deals that earlier attempts inserted count as created; a retry can insert the rest."""
    first, retry = held["first_row"], held.get("retry")
    root, rows = (retry["root"], retry["rows"]) if retry else (held["queue_id"], range(first, first + held["rows"]))
    ids = [deal_id(root, row) for row in rows]
    created = await app.repos.deals.count(held["account_id"], held["queue_id"], ids)
    await _end(app, cache, held, state, created=created, error=error)


async def _end(app: App[ImportRepos], cache: ImportCache, held: Mapping[str, Any], state: str, **result: Any) -> None:
    if not await app.repos.chunks.end(held, state, **result):
        raise LeaseLost(f"chunk {held['_id']} was taken over")
    cache.ended.add(held["queue_id"])


async def _context(app: App[ImportRepos], cache: ImportCache, held: Mapping[str, Any]) -> ImportContext:
    known = cache.contexts.get(held["queue_id"])
    # A file that was replaced before its first row was inserted has another context.
    if known is None or known.file.etag != held["etag"]:
        queue = await app.repos.imports.get(held["queue_id"])
        if queue is None:
            raise LeaseLost(f"import {held['queue_id']} is gone")
        known = read_context(app, queue)
        cache.contexts.keep(held["queue_id"], known)
    return known


async def _read(app: App[ImportRepos], context: ImportContext, held: Mapping[str, Any]) -> Piece:
    """The chunk, read from the file: another process cut it, or this one no longer has it in memory."""
    chunk = Chunk.read(held)
    data = await app.storage.read(context.file.key, chunk.start, chunk.loaded, context.file.etag)
    return chunk.piece(data, context.file.dialect)
