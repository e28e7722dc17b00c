"""Explains one import: how far it is, what holds it up, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.claimed import MAX_CRASHES
from pipeline_engine.domain.explanation import Condition, Next, is_free, next_of
from pipeline_engine.domain.imports.control import MAX_RETRY_AGE, look_up
from pipeline_engine.domain.imports.csv.in_words import dialect_in_words
from pipeline_engine.domain.imports.error_words import group_in_words
from pipeline_engine.domain.imports.finish import MAX_GROUPS, figures
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import read_key, read_request, refuse_foreign
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import ENDED, OPEN, UPLOADING

Document = Mapping[str, Any]

MAX_LISTED_CHUNKS = 20
"""Open chunks that are listed one by one."""


@dataclass(frozen=True)
class ChunkCount:
    """How many chunks are in one state, and how many rows they have."""

    state: str
    chunks: int
    rows: int


@dataclass(frozen=True)
class BegunChunk:
    """An open chunk that a run has claimed; without an owner it waits for its next attempt."""

    chunk: str
    owner: str | None
    until: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class ImportExplanation:
    """`figures` are counted from the chunks; `held` are the first open chunks that a run has claimed."""

    queue: ObjectId
    status: str
    error: str | None
    attempts: str
    figures: Mapping[str, int]
    conditions: Sequence[Condition]
    chunks: Sequence[ChunkCount]
    held: Sequence[BegunChunk]
    next: Next
    dialect: str
    """How the file is read, in words; empty before it was looked at."""
    errors: Sequence[str]
    """The row errors by code and column, one line each, the most frequent first."""
    warnings: Sequence[str]
    """What of the file is not imported, or was read in one of two ways."""


async def explain(app: App[ImportRepos], import_id: ObjectId) -> ImportExplanation:
    """Return what is known of the import now. Raises: Permanent `not_found`."""
    queue, now = await look_up(app, import_id), app.clock.now()
    account_id = object_id(queue.get("account_id"))
    chunks = app.repos.chunks
    counts = await chunks.state_counts(account_id, import_id) if account_id else []
    begun = await chunks.find_started(account_id, import_id, MAX_LISTED_CHUNKS) if account_id else []
    done = figures(await chunks.totals(account_id, import_id)) if account_id else {}
    refusal = await _refusal(app, queue) if queue["status"] in OPEN else None
    lost = next((one["chunks"] for one in counts if one["_id"] == "failed"), 0)
    conditions = conditions_of(queue, refusal, lost, now)
    due = Next("runs", now, f"at the next look of the sweep, within {app.settings.import_sweep_seconds:g} s")
    return ImportExplanation(
        queue=import_id,
        status=queue["status"],
        error=clean(queue["error"]) if queue.get("error") else None,
        attempts=f"{queue.get('attempts', 0)} of {app.settings.import_attempts}",
        figures={**(queue.get("progress") or {}), **done},
        conditions=conditions,
        chunks=[ChunkCount(one["_id"], one["chunks"], one["rows"]) for one in counts],
        held=[_begun(one) for one in begun],
        next=next_of(conditions, due),
        dialect=dialect_in_words(queue.get("dialect") or {}),
        errors=[group_in_words(group) for group in await _error_groups(app, account_id, queue)],
        warnings=(queue.get("plan") or {}).get("warnings", []),
    )


async def _error_groups(app: App[ImportRepos], account_id: ObjectId | None, queue: Document) -> Sequence[Document]:
    """The row errors by code and column: of an import that has ended from its report, else from its chunks."""
    if account_id is None:
        return []
    report = await app.repos.csv_imports.of_import(account_id, queue["_id"]) if queue["status"] in ENDED else None
    if report and "error_groups" in report:
        return list(report["error_groups"])
    return await app.repos.chunks.error_groups(account_id, queue["_id"], MAX_GROUPS)


async def _refusal(app: App[ImportRepos], queue: Document) -> str | None:
    """Why a run would refuse the import before it reads a byte of the file."""
    try:
        request = read_request(queue)
        read_key(queue)
        await refuse_foreign(app, request)
    except ImportRefused as error:
        return str(error)
    return None


def conditions_of(queue: Document, refusal: str | None, lost: int, now: datetime) -> list[Condition]:
    """Return what must hold for a run to start now; an import that is not open has only the first condition. Pure.

    `lost`: chunks that row jobs gave up.
    """
    status = queue["status"]
    is_open = Condition("is pending or processing", status, status in OPEN, _not_open(queue))
    if not is_open.passed:
        return [is_open]
    crashes = queue.get("crashes", 0) + _lease_ran_out(queue, now)
    poison = Next("fails", None, f"the next run gives up: {crashes} processes ended while they ran this import")
    refused = Next("fails", None, f"the next run refuses it: {refusal}")
    broken = Next("fails", None, "after the rest of its rows: some could not be written")
    cancelled = Next("ends", None, "as cancelled, by the run that has it or the next one")
    return [
        is_open,
        Condition("no cancel requested", _yes(queue.get("cancel_requested")), not _cancel_requested(queue), cancelled),
        Condition("request accepted", refusal or "yes", refusal is None, refused),
        Condition(f"fewer than {MAX_CRASHES} processes died on it", crashes, crashes < MAX_CRASHES, poison),
        Condition("no chunk was given up", lost, not lost or bool(queue.get("reopen")), broken),
        is_free("no run has it", queue, now),
        _no_pause(queue, now),
    ]


def _not_open(queue: Document) -> Next:
    status, at = queue["status"], queue.get("completed_at")
    if status == UPLOADING:
        return Next("waits", None, "for its file: the process that submitted it makes it pending after the upload")
    when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    why = f": {clean(queue['error'])}" if queue.get("error") else ""
    if status not in ("failed", "cancelled"):
        return Next("never", None, f"it is {status}{when}{why}; a retry is only for what failed or was cancelled")
    until = f", until {at + MAX_RETRY_AGE:%Y-%m-%d}" if at else ""
    again = "`imports retry` takes it up again with its file as it is then; rows that are in stay"
    return Next("never", None, f"it is {status}{when}{why}; {again}{until}")


def _cancel_requested(queue: Document) -> bool:
    return queue.get("cancel_requested") is True


def _lease_ran_out(queue: Document, now: datetime) -> bool:
    """Whether the last run vanished with its lease; the next claim counts that as a crash."""
    return queue.get("lease_until") is not None and queue["lease_until"] < now


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _no_pause(queue: Document, now: datetime) -> Condition:
    """Whether the pause after a failed attempt is over."""
    again_at = queue.get("next_at")
    why = f"attempt {queue.get('attempts')} failed: {clean(str(queue.get('error')))}"
    due = again_at is None or again_at <= now
    return Condition("no attempt waits", again_at or "none", due, Next("retries", again_at, why))


def _begun(chunk: Document) -> BegunChunk:
    error = clean(chunk["error"]) if chunk.get("error") else None
    return BegunChunk(chunk["_id"], chunk.get("lease_owner"), chunk.get("lease_until"), chunk.get("attempts", 0), error)
