"""The port for history and dead letters. The lanes know only this protocol; the application implements it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from pipeline_engine.lanes.claimed_job import RetryState, utc_from_ms
from pipeline_engine.lanes.codec import Payload
from pipeline_engine.lanes.job import Dead, Job


class HistoryRow(msgspec.Struct, frozen=True):
    """One attempt that ended, identified by (lane, job_id, attempts, at): `record` may get it twice."""

    lane: str
    job_id: str
    function: str
    outcome: Literal["done", "retried", "dead"]
    ms: float
    attempts: int
    at: datetime
    error: str | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """A job that was given up, with everything needed to understand it and to enqueue it again.

    `errors` are the last failures, oldest first, as {attempt, at, error}.
    """

    lane: str
    job_id: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    error: str
    traceback: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    errors: list[dict[str, Any]]


class JobStore(Protocol):
    """Where a WorkerPool writes what has to outlive Redis."""

    async def record(self, rows: Sequence[HistoryRow]) -> None:
        """Store the rows and trim each lane to its retention. If it raises, it gets the same rows again."""

    async def save_dead_letter(self, letter: DeadLetter) -> None:
        """Store the letter, once per (lane, job id) however often it is called. If it raises, it is called again."""


def dead_letter(job: Job, payload: Payload, state: RetryState, dead: Dead) -> DeadLetter:
    """The dead letter of an exhausted job."""
    return DeadLetter(
        lane=job.lane,
        job_id=job.id,
        function=job.function,
        args=payload.a,
        kwargs=payload.k,
        error=dead.error,
        traceback=dead.traceback,
        attempts=state.attempts,
        first_failed_at=utc_from_ms(state.first_failed_ms),
        last_failed_at=utc_from_ms(state.failures[-1].at_ms),
        errors=[failure.as_document() for failure in state.failures],
    )
