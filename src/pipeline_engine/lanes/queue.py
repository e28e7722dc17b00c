"""The client side of lanes: enqueue, count, pause and remove jobs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes.codec import Codec
from pipeline_engine.lanes.connection import reachable
from pipeline_engine.lanes.job import Duplicates, NewJob, Priority
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.progress import Progress
from pipeline_engine.lanes.redis_health import RedisHealth
from pipeline_engine.lanes.script import Script

BATCH_SIZE = 500
MARK_TTL_SECONDS = 86_400
"""An expired mark looks like a loss of Redis' data, so every sweep looks at everything once a day."""
CHECK_TTL_SECONDS = 60

_cancel = Script("cancel")
_enqueue = Script("enqueue")
_clean = Script("clean")
_counts = Script("counts")


class Counts(msgspec.Struct, frozen=True):
    """The jobs of a lane by state. `parked` jobs wait for a daemon that has a handler for their function."""

    waiting: int
    delayed: int
    active: int
    parked: int
    paused: bool
    oldest_seconds: float = 0.0
    """How long the oldest of the jobs in line has waited; 0 when none is in line."""

    @property
    def unfinished(self) -> int:
        """The jobs in all states together: what is not settled yet."""
        return self.waiting + self.delayed + self.active + self.parked


class LaneQueue:
    """The lanes under one prefix. Every coroutine raises Unreachable when Redis does not answer within 10 s."""

    def __init__(self, redis: Redis, codec: Codec, prefix: str = "pe:", ttl: int | None = None) -> None:
        self.codec = codec
        self.keys = Keys(prefix, ttl)
        self.sender = secrets.token_hex(4)
        self.health = RedisHealth()
        """The state of the loops of the WorkerPool that works on this queue."""
        self._redis = redis
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have `listener` called with a lane's name after each enqueue of this process into that lane."""
        self._listeners.append(listener)

    async def enqueue(
        self,
        lane: str,
        function: str,
        *args: Any,
        id: str | None = None,
        delay: float = 0.0,
        priority: Priority = "normal",
        duplicates: Duplicates = "skip",
        **kwargs: Any,
    ) -> bool:
        """Put one job into a lane, to run after `delay` seconds.

        Returns False when a job with this id is waiting or running there; what becomes of that one, `duplicates` says.
        """
        return await self.enqueue_many(lane, [NewJob(function, args, kwargs, id)], delay, priority, duplicates) == 1

    async def enqueue_many(
        self,
        lane: str,
        jobs: Iterable[NewJob],
        delay: float = 0.0,
        priority: Priority = "normal",
        duplicates: Duplicates = "skip",
    ) -> int:
        """Put jobs into a lane, one round trip per 500, to run after `delay` seconds. Returns how many were new.

        If the connection breaks and the client retries, the jobs that its first try enqueued are not counted.
        """
        sealed, new = self.seal(jobs), 0
        times = {"delay": round(delay * 1000), "ttl": self.keys.ttl_ms}
        ask = {"lane": lane, "sender": self.sender, "priority": priority, "duplicates": duplicates, **times}
        while batch := list(islice(sealed, BATCH_SIZE)):
            pairs = [part for pair in batch for part in pair]
            async with reachable():
                new += await _enqueue(self._redis, [self.keys.stem(lane), self.keys.doorbell], ask, *pairs)
        for listener in self._listeners if new else ():
            listener(lane)
        return new

    async def cancel(self, lane: str, id: str) -> bool:
        """Remove a job that has not started, whatever it waits for. Returns False when none of this id waits.

        A running job goes on; a newer one that waits for its end is removed. The chain behind a cancelled job is
        removed with it, and its group waits for it no more. A sweep enqueues it again while its document is due.
        """
        return bool(await self.call(_cancel, [self.keys.stem(lane)], {"id": id, "links_only": False}))

    async def abandon(self, lane: str, id: str) -> None:
        """Remove the chain behind a dead job, and let its group wait for it no more."""
        await self.call(_cancel, [self.keys.stem(lane)], {"id": id, "links_only": True})

    async def progress(self, lane: str, id: str) -> Progress | None:
        """How far a job is, as its handler last noted; None when it noted nothing or has ended."""
        async with reachable():
            text = await self._redis.hget(self.keys.stem(lane) + "progress", id)  # type: ignore[misc]
        return Progress.read(text) if text else None

    async def call(self, script: Script, keys: list[str], ask: dict[str, Any], *more: bytes) -> int:
        """Run one of the scripts of the lanes; returns the number that it answers."""
        async with reachable():
            return int(await script(self._redis, keys, ask, *more))

    def seal(self, jobs: Iterable[NewJob]) -> Iterator[tuple[str, bytes]]:
        """(id, payload) of each job."""
        now_ms = int(time.time() * 1000)
        serialize = self.codec.serialize
        return iter(
            (
                job.id or secrets.token_hex(16),
                serialize({"t": None, "f": job.function, "a": job.args, "k": job.kwargs, "et": now_ms}),
            )
            for job in jobs
        )

    async def check(self) -> None:
        """Write a key. Raises: Unreachable when Redis takes no writes, or refuses the worker pool what it needs."""
        async with reachable():
            await self._redis.set(self.keys.mark("check"), "1", ex=CHECK_TTL_SECONDS)
        if problem := self.health.problem():
            raise Unreachable(f"Redis (REDIS_URL) {problem.text}", problem.state)

    async def reconnect(self) -> None:
        """Close the idle connections, so that the next call resolves the server's name anew."""
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def pause(self, lane: str) -> None:
        """Let no daemon start jobs of this lane, for as long as Redis keeps its data. Running jobs continue."""
        async with reachable():
            await self._redis.set(self.keys.stem(lane) + "paused", "1", px=self.keys.ttl_ms or None)

    async def resume(self, lane: str) -> None:
        """Let the daemons start jobs of this lane again."""
        async with reachable():
            await self._redis.delete(self.keys.stem(lane) + "paused")
            await self._redis.publish(self.keys.doorbell, f"- {lane}")

    async def mark(self, name: str) -> bool:
        """Set a mark in Redis. Returns True when it was missing: the name is new, or Redis has lost its data."""
        async with reachable():
            return bool(await self._redis.set(self.keys.mark(name), "1", nx=True, ex=self.keys.ttl or MARK_TTL_SECONDS))

    async def counts(self, lanes: Sequence[str]) -> dict[str, Counts]:
        """The jobs of each lane by state, all at one moment."""
        async with reachable():
            answers = await _counts(self._redis, [], {"prefix": self.keys.prefix, "lanes": list(lanes)})
        return {
            lane: Counts(waiting, delayed, active, parked, bool(paused), oldest_ms / 1000)
            for lane, (waiting, delayed, active, parked, paused, oldest_ms) in zip(lanes, answers, strict=True)
        }

    async def clean(self, lane: str, what: Literal["waiting", "delayed"]) -> int:
        """Remove jobs that have not started. Returns how many. Sweeps enqueue those again whose documents are due."""
        sets = ("high", "normal", "low") if what == "waiting" else ("delayed",)
        removed = 0
        async with reachable():
            while gone := await _clean(self._redis, [self.keys.stem(lane)], {"sets": sets}):
                removed += gone
        return removed

    async def minutes(self, lane: str, hours: int = 1) -> dict[int, dict[str, int]]:
        """Counts for charts: {minutes since 1970: {done, retried, dead, released, ms}} of the last `hours` hours."""
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
