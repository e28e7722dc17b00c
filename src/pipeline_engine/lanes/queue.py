"""The client side: put jobs into lanes, look at lanes, pause them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from pipeline_engine.lanes.codec import Codec
from pipeline_engine.lanes.connection import reachable
from pipeline_engine.lanes.job import NewJob, Priority
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.script import Script

BATCH = 500
MARK_LASTS = 86_400  # seconds; a new one costs a look at everything

_enqueue = Script("enqueue")
_clean = Script("clean")


class Counts(msgspec.Struct, frozen=True):
    """What a lane holds at the moment. `parked`: nobody who claimed it knew its function."""

    waiting: int
    delayed: int
    active: int
    parked: int
    paused: bool

    @property
    def unfinished(self) -> int:
        """Jobs that are not through yet, in whatever set."""
        return self.waiting + self.delayed + self.active + self.parked


class LaneQueue:
    """Every method raises `Unreachable` when Redis does not answer."""

    def __init__(self, redis: Redis, codec: Codec, prefix: str = "pe:", ttl: int | None = None) -> None:
        self.codec = codec
        self.keys = Keys(prefix, ttl)
        self.sender = secrets.token_hex(4)
        self._redis = redis
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call this with a lane's name whenever this process put something into it."""
        self._listeners.append(listener)

    async def enqueue(
        self,
        lane: str,
        function: str,
        *args: Any,
        id: str | None = None,
        delay: float = 0.0,
        priority: Priority = "normal",
        **kwargs: Any,
    ) -> bool:
        """Put one job into a lane. False: a job with this id is waiting or running there, and nothing changed."""
        return await self.enqueue_many(lane, [NewJob(function, args, kwargs, id)], delay, priority) == 1

    async def enqueue_many(
        self, lane: str, jobs: Iterable[NewJob], delay: float = 0.0, priority: Priority = "normal"
    ) -> int:
        """Put jobs into a lane, one round trip per 500. Returns how many were new.

        After a connection that broke in between, jobs that were put in by the first try are not counted.
        """
        sealed, new = self._seal(jobs), 0
        times = {"delay": round(delay * 1000), "ttl": self.keys.ttl_ms}
        ask = {"lane": lane, "sender": self.sender, "priority": priority, **times}
        while batch := list(islice(sealed, BATCH)):
            pairs = [part for pair in batch for part in pair]
            async with reachable():
                new += await _enqueue(self._redis, [self.keys.stem(lane), self.keys.doorbell], ask, *pairs)
        for listener in self._listeners if new else ():
            listener(lane)
        return new

    def _seal(self, jobs: Iterable[NewJob]) -> Iterable[tuple[str, bytes]]:
        now_ms = int(time.time() * 1000)
        serialize = self.codec.serialize
        return iter(
            (
                job.id or secrets.token_hex(16),
                serialize({"t": None, "f": job.function, "a": job.args, "k": job.kwargs, "et": now_ms}),
            )
            for job in jobs
        )

    async def pause(self, lane: str) -> None:
        """Start nothing more in this lane, in no daemon; what runs goes on."""
        async with reachable():
            await self._redis.set(self.keys.stem(lane) + "paused", "1", px=self.keys.ttl_ms or None)

    async def resume(self, lane: str) -> None:
        """Go on."""
        async with reachable():
            await self._redis.delete(self.keys.stem(lane) + "paused")
            await self._redis.publish(self.keys.doorbell, f"- {lane}")

    async def mark(self, name: str) -> bool:
        """Leave a mark in Redis. True when there was none: it is new, or Redis has forgotten everything."""
        async with reachable():
            return bool(await self._redis.set(self.keys.mark(name), "1", nx=True, ex=self.keys.ttl or MARK_LASTS))

    async def counts(self, lanes: Sequence[str]) -> dict[str, Counts]:
        """What each lane holds."""
        pipe = self._redis.pipeline(transaction=False)
        for lane in lanes:
            for part in ("inbox", "high", "normal", "low", "delayed", "active"):
                pipe.zcard(self.keys.stem(lane) + part)
            pipe.hlen(self.keys.stem(lane) + "parked")
            pipe.exists(self.keys.stem(lane) + "paused")
        async with reachable():
            answers = iter(await pipe.execute())
        return {
            lane: Counts(
                waiting=sum(islice(answers, 4)),
                delayed=next(answers),
                active=next(answers),
                parked=next(answers),
                paused=bool(next(answers)),
            )
            for lane in lanes
        }

    async def clean(self, lane: str, what: Literal["waiting", "delayed"]) -> int:
        """Throw away jobs that have not started. Returns how many; documents behind them will bring theirs again."""
        sets = ("high", "normal", "low") if what == "waiting" else ("delayed",)
        removed = 0
        async with reachable():
            while gone := await _clean(self._redis, [self.keys.stem(lane)], {"sets": sets}):
                removed += gone
        return removed

    async def minutes(self, lane: str, hours: int = 1) -> dict[int, dict[str, int]]:
        """Roll-ups for charts: {minutes since 1970: {done, retried, dead, released, ms}} of the last `hours` hours."""
        this_hour = int(time.time() // 3600)
        pipe = self._redis.pipeline(transaction=False)
        for hour in range(this_hour - hours, this_hour + 1):
            pipe.hgetall(self.keys.minutes(lane, hour))
        chart: dict[int, dict[str, int]] = {}
        async with reachable():
            for fields in await pipe.execute():
                for field, count in fields.items():
                    minute, _, what = field.decode().partition(":")
                    chart.setdefault(int(minute), {})[what] = int(count)
        return chart
