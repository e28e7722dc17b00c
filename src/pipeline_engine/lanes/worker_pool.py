"""All workers of a daemon, and what keeps them going: leases, the safety net, the doorbell, history, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Generic

import msgspec

from pipeline_engine import logs
from pipeline_engine.ids import daemon_id
from pipeline_engine.lanes import doorbell
from pipeline_engine.lanes.connection import connect_for_listening, connect_once
from pipeline_engine.lanes.health import Health
from pipeline_engine.lanes.history import History
from pipeline_engine.lanes.job import App, Handler, Hook
from pipeline_engine.lanes.job_store import JobStore
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.queue import LaneQueue
from pipeline_engine.lanes.run_forever import run_forever
from pipeline_engine.lanes.runner import Runner
from pipeline_engine.lanes.script import Script
from pipeline_engine.lanes.worker import Worker
from pipeline_engine.run_forever import stop_tasks

log = logs.get(__name__)

FLUSH_EVERY = 1.0
# What `drain` allows itself after the grace: for cancelled jobs to end, for their outcomes, for the history.
CANCEL_WAIT, SETTLE_WAIT, FLUSH_WAIT, CLOSE_WAIT = 1.5, 1.5, 1.0, 0.5

_look = Script("look")
_renew = Script("renew")


class LaneStats(msgspec.Struct, frozen=True):
    """One lane of this daemon, counted since its start."""

    places: int
    running: int
    refused: int
    unknown: int
    late: int


class WorkerPool(Generic[App]):
    """`start`, then `drain`. In between nothing that Redis, a job or a hook does ends or blocks it."""

    def __init__(
        self,
        url: str,
        queue: LaneQueue,
        lanes: Sequence[Lane],
        handlers: Mapping[str, Handler[App]],
        app: App,
        store: JobStore,
        hooks: Sequence[Hook] = (),
        lease: float = 15.0,
        look_every: float = 1.0,
    ) -> None:
        self._redis = connect_once(url)
        self._listening = connect_for_listening(url)
        self._queue = queue
        self._lease = lease
        self._look_every = look_every
        self._functions = sorted(handlers)
        self._health = Health()
        self._renewed_at = monotonic()
        self._history = History(lanes, store, self._redis, queue.keys)
        owner = daemon_id()
        self._runners = {
            lane.name: Runner(lane, handlers, app, queue.codec, store, self._history, hooks) for lane in lanes
        }
        self._workers = {
            lane.name: Worker(lane, self._runners[lane.name], self._redis, queue.keys, owner, lease) for lane in lanes
        }
        self._loops: list[asyncio.Task[None]] = []
        self._care: list[asyncio.Task[None]] = []

    @property
    def degraded(self) -> bool:
        """True while Redis does not answer: work rests and goes on by itself."""
        return self._health.degraded

    def stats(self) -> dict[str, LaneStats]:
        """Every lane by name."""
        return {
            name: LaneStats(worker.lane.places, len(worker.running), runner.refused, runner.unknown, worker.late)
            for (name, worker), runner in zip(self._workers.items(), self._runners.values(), strict=True)
        }

    async def start(self) -> None:
        """Begin. Does not wait for Redis: without it the worker_pool starts degraded."""
        self._queue.listen(self._wake)
        turns = {f"lane {name}": worker.turn for name, worker in self._workers.items()}
        self._loops = [asyncio.create_task(run_forever(name, self._health, turn)) for name, turn in turns.items()]
        care = {"leases": self._renew, "look": self._look, "doorbell": self._listen, "history": self._flush}
        self._care = [asyncio.create_task(run_forever(name, self._health, turn)) for name, turn in care.items()]

    async def drain(self, grace: float = 20.0) -> None:
        """Claim nothing more, let jobs end for up to `grace` seconds, cancel and give back the rest, say so to Redis.

        Ends within grace + 5 s, with or without Redis; never raises. A job that does not end when cancelled is left.
        """
        for worker in self._workers.values():
            worker.close()
        await self._jobs_end(grace)
        for running in self._running():
            running.cancel()
        await self._jobs_end(CANCEL_WAIT)
        if left := self._running():
            log.error("jobs.abandoned", jobs=len(left))
        if self._loops:
            await asyncio.wait(self._loops, timeout=SETTLE_WAIT)
        await self._stop()

    def _running(self) -> list[asyncio.Task[None]]:
        return [running.task for worker in self._workers.values() for running in worker.running.values()]

    async def _jobs_end(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        while (tasks := self._running()) and (left := deadline - monotonic()) > 0:
            await asyncio.wait(tasks, timeout=left)

    async def _stop(self) -> None:
        await stop_tasks(*self._loops, *self._care)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_WAIT):
                await self._history.flush()
        for client in (self._redis, self._listening):
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_WAIT):
                    await client.aclose()

    def _wake(self, lane: str) -> None:
        if worker := self._workers.get(lane):
            worker.wake()

    def _wake_all(self) -> None:
        for worker in self._workers.values():
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
        ask = {"prefix": keys.prefix, "reap": reap, "ttl": keys.ttl_ms}
        soonest, ready = await _look(
            self._redis, [], ask | {"functions": self._functions, "lanes": list(self._workers)}
        )
        for lane in ready:
            self._wake(lane.decode())
        await asyncio.sleep(self._until_next_look(reap, soonest / 1000))
        return True

    def _may_reap(self) -> bool:
        # After an outage everybody gets the time to renew first, and so do we after a standstill of our own.
        connected = self._health.steady_for >= self._lease / 2
        punctual = monotonic() - self._renewed_at < self._lease / 2
        return connected and punctual

    def _until_next_look(self, reaped: bool, lease_ends: float) -> float:
        if not reaped:
            return min(self._look_every, self._lease / 2)
        return min(self._look_every, max(lease_ends, 1.0)) if lease_ends >= 0 else self._look_every

    async def _listen(self) -> bool:
        def heard(sender: str, lane: str) -> None:
            if sender != self._queue.sender:  # our own enqueues wake the worker without a detour
                self._wake(lane)

        def answered() -> None:
            self._health.worked("doorbell")
            self._wake_all()

        return await doorbell.listen(self._listening, self._queue.keys.doorbell, heard, answered)

    async def _flush(self) -> bool:
        await asyncio.sleep(FLUSH_EVERY)
        await self._history.flush()
        return True
