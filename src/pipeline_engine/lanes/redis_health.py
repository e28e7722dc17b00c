"""Whether Redis answers the loops of a WorkerPool, and how those loops go on when it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import random

from pipeline_engine import logs
from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.redis_problem import RedisProblem, problem_of

RECONNECT = Backoff.doubling(0.05, longest=1.0)
"""Short enough that work resumes within a second or two of Redis' return."""
REFUSAL_COUNTS_SECONDS = 10.0
REPEATED_LINE_SECONDS = 60.0

log = logs.get(__name__)


class RedisHealth:
    """The state of all loops together: each reports its successes and failures by name."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._problem: RedisProblem | None = None
        self._logged: dict[str, float] = {}
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

    def problem(self) -> RedisProblem | None:
        """What is wrong with Redis now. A refusal counts some seconds on: loops that need the right come and go."""
        refused = self._problem is not None and self._problem.state == "not_permitted"
        return self._problem if self._failing or (refused and self.steady_for < REFUSAL_COUNTS_SECONDS) else None

    def failed(self, loop: str, error: BaseException) -> None:
        """Record that a call of this loop failed. Each problem is logged once a minute, not by every loop."""
        now, problem = time.monotonic(), problem_of(error)
        if not self._failing:
            self._lost_at, self._problem = now, None
        self._failing.add(loop)
        self._problem = problem or self._problem
        kind = problem.text if problem and problem.state != "away" else "away"
        if now > self._logged.get(kind, -REPEATED_LINE_SECONDS) + REPEATED_LINE_SECONDS:
            self._logged[kind] = now
            log.warning("redis.lost", loop=loop, error=problem.text if problem else f"{type(error).__name__}: {error}")

    def worked(self, loop: str) -> None:
        """Record that a call of this loop succeeded."""
        if loop not in self._failing:
            return
        self._failing.discard(loop)
        if not self._failing:
            self._steady_since = time.monotonic()
            if self._problem is None or self._problem.state != "not_permitted":
                self._logged = {}
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
            if problem_of(error) is None:
                log.exception("loop.failed", loop=name)
            await asyncio.sleep(RECONNECT.delay(failures, random))
