"""What a lane remembers of a job that failed before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

REMEMBERED = 10


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that failed."""

    attempt: int
    at_ms: int
    error: str

    def told(self) -> dict[str, Any]:
        """As a dead letter shows it."""
        return {"attempt": self.attempt, "at": moment(self.at_ms), "error": self.error}


class RetryState(msgspec.Struct, frozen=True, array_like=True):
    """Attempts used, and the last failures, oldest first. `exhausted`: given up, its dead letter not written yet."""

    attempts: int = 0
    first_failed_ms: int = 0
    failures: tuple[Failure, ...] = ()
    exhausted: bool = False

    @property
    def attempt(self) -> int:
        """The number of the attempt that comes now, or, for the exhausted, of the one that was the last."""
        return self.attempts + (not self.exhausted)

    def failed(self, now_ms: int, error: str, exhausted: bool = False) -> RetryState:
        """The same with one more failed attempt."""
        failure = Failure(self.attempts + 1, now_ms, error)
        return RetryState(
            self.attempts + 1, self.first_failed_ms or now_ms, (*self.failures, failure)[-REMEMBERED:], exhausted
        )


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
