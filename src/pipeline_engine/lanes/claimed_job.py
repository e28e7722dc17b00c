"""What a worker gets from Redis with a claimed job, and what it returns when the job has ended."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

MAX_FAILURES_KEPT = 10


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job as step.lua returns it. `state` is the sealed RetryState, empty until an attempt has failed."""

    id: str
    payload: bytes
    state: bytes
    crashes: int


class Settlement(msgspec.Struct, frozen=True):
    """What step.lua does with an ended job: `back` and `state` as that script documents them."""

    back: str
    state: str = ""

    @classmethod
    def after(cls, seconds: float, state: str = "") -> Settlement:
        """The job returns to the end of its line after that time, never earlier."""
        return cls(str(math.ceil(seconds * 1000)), state)

    @classmethod
    def park(cls, function: str) -> Settlement:
        """The job waits until a daemon knows the function."""
        return cls(f"?{function}")


REMOVE = Settlement("")
DEAD = Settlement("dead")
"""As REMOVE, but the chain and the group of the job wait for a retry by hand."""
HEAD_OF_LINE = Settlement("first")


class FailedAttempt(msgspec.Struct, frozen=True, array_like=True):
    """One failed attempt."""

    attempt: int
    at_ms: int
    error: str

    def as_document(self) -> dict[str, Any]:
        """The failure as an entry of `DeadLetter.errors`."""
        return {"attempt": self.attempt, "at": utc_from_ms(self.at_ms), "error": self.error}


class RetryState(msgspec.Struct, frozen=True, array_like=True):
    """What a lane keeps of a job that has failed: attempts used and the last failures, oldest first.

    `exhausted`: no attempt is left, and the dead letter is not written yet.
    """

    attempts: int = 0
    first_failed_ms: int = 0
    failures: tuple[FailedAttempt, ...] = ()
    exhausted: bool = False

    @property
    def attempt(self) -> int:
        """The number of the attempt that comes now or, of an exhausted job, of the one that was the last."""
        return self.attempts + (not self.exhausted)

    def failed(self, now_ms: int, error: str, exhausted: bool = False) -> RetryState:
        """This state with one more failed attempt."""
        failure = FailedAttempt(self.attempts + 1, now_ms, error)
        kept = (*self.failures, failure)[-MAX_FAILURES_KEPT:]
        return RetryState(self.attempts + 1, self.first_failed_ms or now_ms, kept, exhausted)


def utc_from_ms(ms: int) -> datetime:
    """Milliseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
