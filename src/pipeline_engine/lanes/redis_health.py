"""Whether Redis answers the loops of a WorkerPool, and how those loops go on when it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import random

from pipeline_engine import logs
from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.connection import UNAVAILABLE

RECONNECT = Backoff.doubling(0.05, longest=1.0)
"""Short enough that work resumes within a second or two of Redis' return."""

log = logs.get(__name__)


class RedisHealth:
    """The state of all loops together: each reports its successes and failures by name."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._lost_at = 0.0
        self._steady_since = time.monotonic()

    @property
    def degraded(self) -> bool:
        """True while at least one loop fails."""
        return bool(self._failing)

    @property
    def steady_for(self) -> float:
        """Seconds since the last failure ended; 0 while a loop fails."""
        return 0.0 if self._failing else time.monotonic() - self._steady_since

    def failed(self, loop: str, error: BaseException) -> None:
        """Record that a call of this loop failed."""
        if not self._failing:
            self._lost_at = time.monotonic()
            log.warning("redis.lost", loop=loop, error=f"{type(error).__name__}: {error}")
        self._failing.add(loop)

    def worked(self, loop: str) -> None:
        """Record that a call of this loop succeeded."""
        if loop not in self._failing:
            return
        self._failing.discard(loop)
        if not self._failing:
            self._steady_since = time.monotonic()
            log.warning("redis.returned", away_s=round(self._steady_since - self._lost_at, 1))


async def repeat_turns(name: str, health: RedisHealth, turn: Callable[[], Awaitable[bool]]) -> None:
    """Await `turn()` until it returns False. An exception is reported to `health` and followed by a pause."""
    failures = 0
    while True:
        try:
            goes_on = await turn()
            failures = 0
            health.worked(name)
            if not goes_on:
                return
        except Exception as error:
            failures += 1
            health.failed(name, error)
            if not isinstance(error, UNAVAILABLE):
                log.exception("loop.failed", loop=name)
            await asyncio.sleep(RECONNECT.delay(failures, random))
