"""The loops beside the workers of a WorkerPool: leases, safety net, doorbell and history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from pipeline_engine import logs
from pipeline_engine.lanes.connection import call_timeout
from pipeline_engine.lanes.history import History
from pipeline_engine.lanes.progress import ProgressBoard
from pipeline_engine.lanes.queue import LaneQueue
from pipeline_engine.lanes.script import Script, set_aside
from pipeline_engine.lanes.worker import Worker

FLUSH_SECONDS = 1.0

log = logs.get(__name__)

_look = Script("look")
_progress = Script("progress")
_renew = Script("renew")


class Maintenance:
    """`turns()` names the loops. Each turn makes its call to Redis within 10 s; what it raises, its loop handles."""

    def __init__(
        self,
        redis: Redis,
        listening: Redis,
        queue: LaneQueue,
        workers: Mapping[str, Worker[Any]],
        functions: list[str],
        history: History,
        board: ProgressBoard,
        lease: float,
        look_every: float,
    ) -> None:
        """`lease` and `look_every` in seconds; `functions` are those that this daemon has handlers for."""
        self._redis = redis
        self._listening = listening
        self._queue = queue
        self._workers = workers
        self._functions = functions
        self._history = history
        self._board = board
        self._health = queue.health
        self._lease = lease
        self._look_every = look_every
        self._renewed_at = monotonic()

    def turns(self) -> dict[str, Callable[[], Awaitable[bool]]]:
        """Each loop's turn by the loop's name."""
        return {"leases": self._renew, "look": self._look, "doorbell": self._listen, "history": self._flush}

    def wake(self, lane: str) -> None:
        """Wake the worker of this lane, if the pool has one."""
        if worker := self._workers.get(lane):
            worker.wake()

    async def _renew(self) -> bool:
        await asyncio.sleep(self._lease / 3)
        held = [
            (self._queue.keys.stem(name), id_, running.token)
            for name, worker in self._workers.items()
            for id_, running in worker.running.items()
        ]
        if held:
            lost = await _renew(self._redis, [], {"lease": round(self._lease * 1000), "held": held})
            if lost:
                log.warning("leases.lost", jobs=lost)
        self._renewed_at = monotonic()
        return True

    async def _look(self) -> bool:
        reap = self._may_reap()
        keys = self._queue.keys
        ask = {
            "prefix": keys.prefix,
            "reap": reap,
            "ttl": keys.ttl_ms,
            "functions": self._functions,
            "lanes": list(self._workers),
        }
        try:
            first_lease_end_ms, ready, tampered = await _look(self._redis, [], ask)
        except (ReadOnlyError, RedisConnectionError):  # behind Sentinels, a replica's refusal is a broken connection
            await self._reconnect()
            raise
        for stem in tampered:
            async with call_timeout():
                await set_aside(self._redis, stem.decode())
        for lane in ready:
            self.wake(lane.decode())
        await asyncio.sleep(self._until_next_look(reap, first_lease_end_ms / 1000))
        return True

    async def _reconnect(self) -> None:
        """Leave a server that has become a replica. Idle connections, and the doorbell's, would stay with it."""
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            await self._queue.reconnect()
            await self._listening.connection_pool.disconnect()

    def _may_reap(self) -> bool:
        # After an outage, every daemon gets the time to renew its leases first; so does this one after it stood still.
        connected = self._health.steady_for >= self._lease / 2
        punctual = monotonic() - self._renewed_at < self._lease / 2
        return connected and punctual

    def _until_next_look(self, reaped: bool, first_lease_end: float) -> float:
        if not reaped:
            return min(self._look_every, self._lease / 2)
        return min(self._look_every, max(first_lease_end, 1.0)) if first_lease_end >= 0 else self._look_every

    async def _listen(self) -> bool:
        """Wake workers by the messages of other processes, until the connection breaks, which raises."""
        async with self._listening.pubsub() as doorbell:
            messages = doorbell.listen()
            async with call_timeout():
                await doorbell.subscribe(self._queue.keys.doorbell)
                await anext(messages)  # the server's confirmation
            self._health.worked("doorbell")
            for worker in self._workers.values():  # messages sent before the subscription were missed
                worker.wake()
            async for message in messages:
                if message["type"] == "message":
                    self._hear(message["data"])
        return True

    def _hear(self, message: bytes) -> None:
        sender, _, lane = message.decode(errors="replace").partition(" ")
        if sender != self._queue.sender:  # an enqueue in this process has woken the worker already
            self.wake(lane)

    async def _flush(self) -> bool:
        await asyncio.sleep(FLUSH_SECONDS)
        await self._history.flush()
        await self._report()
        return True

    async def _report(self) -> None:
        """Keep in Redis what running jobs noted about their progress."""
        running = {
            (name, id_): job.token for name, worker in self._workers.items() for id_, job in worker.running.items()
        }
        reports = [
            (self._queue.keys.stem(job[0]), job[1], running[job], str(progress))
            for job, progress in self._board.take().items()
            if job in running
        ]
        if reports:
            await _progress(self._redis, [], {"reports": reports})
