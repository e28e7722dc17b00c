"""Where history and dead letters go. The lanes only know this port; MongoDB stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec


class HistoryRow(msgspec.Struct, frozen=True):
    """One attempt that ended. (lane, job_id, attempts, at) names it: `record` may bring it twice after a time-out."""

    lane: str
    job_id: str
    function: str
    outcome: Literal["done", "retried", "dead"]
    ms: float
    attempts: int
    at: datetime
    error: str | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """A job that is given up, with everything needed to understand it and to start it again.

    `errors` are the earlier failures, oldest first, as {attempt, at, error}.
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
    """Implemented by the repositories."""

    async def record(self, rows: Sequence[HistoryRow]) -> None:
        """Keep these rows and trim each lane to its retention. May raise: the rows come again."""

    async def save_dead_letter(self, letter: DeadLetter) -> None:
        """Keep the letter; then the job leaves the lane. May raise, and may be called again: one letter per job."""
