"""A job: as a client enqueues it, as its handler sees it, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Concatenate, Generic, Literal, TypeVar

import msgspec

from pipeline_engine.lanes.progress import Progress

Priority = Literal["high", "normal", "low"]
Duplicates = Literal["skip", "debounce", "latest"]
"""What an enqueue does with an id that is in the lane already: leave the old job; or let the new one take the place of
one that waits, with its delay begun anew (debounce) or at the time at which the old one is due (latest). While the old
one runs, the newest of these waits for the end of that run."""

App = TypeVar("App")


class NewJob(msgspec.Struct, frozen=True):
    """A job to enqueue. Arguments are ids, never content, because other people may read Redis and the logs.

    Without an `id`, the queue makes one. A job whose id is waiting or running in its lane is not enqueued again.
    """

    function: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    id: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A running job. `attempt` counts from 1; `crashes` counts the processes that ended in a row while it ran."""

    lane: str
    id: str
    function: str
    attempt: int
    crashes: int
    enqueued_ms: int

    @property
    def enqueued_at(self) -> datetime:
        """When the job was enqueued, in UTC, by the clock of the process that enqueued it."""
        return datetime.fromtimestamp(self.enqueued_ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Done:
    """The job is complete."""


@dataclass(frozen=True, slots=True)
class Retry:
    """This attempt failed. The next one comes after `after` seconds, or as the lane's backoff says."""

    error: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """The job comes back and uses no attempt: a limit was reached, a slice ended, the daemon stops.

    It returns after `after` seconds at the end of its line or, with `first`, at the head of its line.
    """

    after: float = 0.0
    first: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """No retry can succeed: the job becomes a dead letter."""

    error: str
    traceback: str = ""


Outcome = Done | Retry | Snooze | Dead


def _unheard(_progress: Progress) -> None:
    """Where progress goes outside of a worker pool."""


class Context(msgspec.Struct, Generic[App], frozen=True):
    """The first argument of a handler: the application object given to the WorkerPool, and the job."""

    app: App
    job: Job
    hear: Callable[[Progress], None] = _unheard

    def progress(self, done: int, total: int | None = None) -> None:
        """Note how far the job is, as often as you like: the last note of a second is what `LaneQueue.progress` reads.

        It costs no round trip of its own, fails never and is forgotten when the job ends.
        """
        self.hear(Progress(done, total))


class Finished(msgspec.Struct, frozen=True):
    """The argument of a hook: the job, its outcome, how long it ran, and the exception if one was raised."""

    job: Job
    outcome: Outcome
    ms: float
    error: BaseException | None


Handler = Callable[Concatenate[Context[App], ...], Awaitable[Outcome | None]]
Hook = Callable[[Finished], Awaitable[None]]
