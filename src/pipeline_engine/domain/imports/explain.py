"""How far an import is, what keeps it, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.explanation import Condition, Next, next_of
from pipeline_engine.domain.imports.coordinator import CRASHES
from pipeline_engine.domain.imports.finish import figures
from pipeline_engine.domain.imports.look_up import look_up
from pipeline_engine.domain.imports.ownership import refuse_foreign
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.request import read_key, read_request
from pipeline_engine.domain.imports.retry import LATEST
from pipeline_engine.domain.is_free import is_free
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.chunk_states import ChunkStates
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import OPEN

Document = Mapping[str, Any]

SHOWN = 20
"""Chunks that are named one by one."""


@dataclass(frozen=True)
class ChunkCount:
    state: str
    chunks: int
    rows: int


@dataclass(frozen=True)
class BegunChunk:
    """An open chunk that some run has claimed; without an owner it waits for its next attempt."""

    chunk: str
    owner: str | None
    until: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class Explanation:
    """`figures` are counted from the chunks; `held` are the first few open chunks that were begun."""

    queue: ObjectId
    status: str
    error: str | None
    attempts: str
    figures: Mapping[str, int]
    conditions: Sequence[Condition]
    chunks: Sequence[ChunkCount]
    held: Sequence[BegunChunk]
    next: Next


async def explain(app: App[ImportRepos], import_id: ObjectId) -> Explanation:
    """Raises: Permanent `not_found`."""
    queue, now = await look_up(app, import_id), app.clock.now()
    account_id = object_id(queue.get("account_id"))
    states = ChunkStates(app.database)
    counts = await states.counts(account_id, import_id) if account_id else []
    begun = await states.begun(account_id, import_id, SHOWN) if account_id else []
    done = figures(await app.repos.chunks.totals(account_id, import_id)) if account_id else {}
    refusal = await _refusal(app, queue) if queue["status"] in OPEN else None
    lost = next((one["chunks"] for one in counts if one["_id"] == "failed"), 0)
    conditions = conditions_of(queue, refusal, lost, app.settings.import_retry_seconds, now)
    due = Next("runs", now, f"at the next look, within {app.settings.import_sweep_seconds:g} s")
    return Explanation(
        queue=import_id,
        status=queue["status"],
        error=clean(queue["error"]) if queue.get("error") else None,
        attempts=f"{queue.get('attempts', 0)} of {app.settings.import_attempts}",
        figures={**(queue.get("progress") or {}), **done},
        conditions=conditions,
        chunks=[ChunkCount(one["_id"], one["chunks"], one["rows"]) for one in counts],
        held=[_begun(one) for one in begun],
        next=next_of(conditions, due),
    )


async def _refusal(app: App[ImportRepos], queue: Document) -> str | None:
    """Why a run would refuse it before it has read a byte."""
    try:
        request = read_request(queue)
        read_key(queue)
        await refuse_foreign(app, request)
    except ImportRefused as error:
        return str(error)
    return None


def conditions_of(queue: Document, refusal: str | None, lost: int, pause: float, now: datetime) -> list[Condition]:
    """`lost`: chunks that were given up; `pause`: seconds between two attempts. An import that has ended has only the
    first condition. Pure."""
    status = queue["status"]
    is_open = Condition("has not ended", status, status in OPEN, _ended(queue))
    if not is_open.passed:
        return [is_open]
    crashes = queue.get("crashes", 0) + _vanished(queue, now)
    poison = Next("fails", None, f"the next run gives up: {crashes} processes ended while they ran this import")
    refused = Next("fails", None, f"the next run refuses it: {refusal}")
    broken = Next("fails", None, "when the rest of its rows are through, for some could not be written")
    asked = Next("ends", None, "as cancelled, by whoever runs it or claims it next")
    return [
        is_open,
        Condition("nobody asked for its end", _yes(queue.get("cancel_requested")), not _wanted_over(queue), asked),
        Condition("what it asks for can be done", refusal or "yes", refusal is None, refused),
        Condition(f"fewer than {CRASHES} processes died on it", crashes, crashes < CRASHES, poison),
        Condition("no chunk was given up", lost, not lost or bool(queue.get("reopen")), broken),
        is_free("nobody runs it", queue, now),
        _no_pause(queue, pause, now),
    ]


def _ended(queue: Document) -> Next:
    status, at = queue["status"], queue.get("completed_at")
    when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
    why = f": {clean(queue['error'])}" if queue.get("error") else ""
    again = "; `imports retry` takes it up again" if status in ("failed", "cancelled") else ""
    until = f" until {at + LATEST:%Y-%m-%d}" if again and at else ""
    return Next("never", None, f"it is {status}{when}{why}{again}{until}")


def _wanted_over(queue: Document) -> bool:
    return queue.get("cancel_requested") is True


def _vanished(queue: Document, now: datetime) -> bool:
    """Whether the last holder let its lease run out: the next claim counts that as a crash."""
    return queue.get("lease_until") is not None and queue["lease_until"] < now


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _no_pause(queue: Document, pause: float, now: datetime) -> Condition:
    """After an attempt that failed; a look that comes earlier may start it earlier."""
    failed_at = queue.get("updatedAt") if queue["status"] == "pending" and queue.get("attempts") else None
    again = failed_at + timedelta(seconds=pause) if failed_at else None
    why = f"attempt {queue.get('attempts')} failed: {clean(str(queue.get('error')))}"
    value = again or "none"
    return Condition("no attempt waits", value, again is None or again <= now, Next("retries", again, why))


def _begun(chunk: Document) -> BegunChunk:
    error = clean(chunk["error"]) if chunk.get("error") else None
    return BegunChunk(chunk["_id"], chunk.get("lease_owner"), chunk.get("lease_until"), chunk.get("attempts", 0), error)
