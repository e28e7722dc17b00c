"""A job, from both sides: as it is put into a lane and as a handler sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Concatenate, Generic, Literal, TypeVar

import msgspec

from pipeline_engine.lanes.outcome import Outcome

Priority = Literal["high", "normal", "low"]

App = TypeVar("App")


class NewJob(msgspec.Struct, frozen=True):
    """A job to be put into a lane. Arguments are ids, never content: Redis and logs may be read by others."""

    function: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    id: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A job that runs. `attempt` counts from 1; `crashes` counts the processes it took down in a row."""

    lane: str
    id: str
    function: str
    attempt: int
    crashes: int
    enqueued_ms: int

    @property
    def enqueued_at(self) -> datetime:
        """When it was put into the lane, in UTC, by the clock of whoever did it."""
        return datetime.fromtimestamp(self.enqueued_ms / 1000, UTC)


class Context(msgspec.Struct, Generic[App], frozen=True):
    """What a handler gets before its own arguments: what the daemon gave the worker_pool, and the job itself."""

    app: App
    job: Job


class Finished(msgspec.Struct, frozen=True):
    """What a hook gets: the job, how it ended, how long it ran, and the exception if there was one."""

    job: Job
    outcome: Outcome
    ms: float
    error: BaseException | None


Handler = Callable[Concatenate[Context[App], ...], Awaitable[Outcome | None]]
Hook = Callable[[Finished], Awaitable[None]]
