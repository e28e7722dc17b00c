"""All workers of a daemon: started together, drained together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Generic

import msgspec

from pipeline_engine import logs
from pipeline_engine.ids import daemon_id
from pipeline_engine.lanes.connection import connect_for_listening, connect_once
from pipeline_engine.lanes.history import OUTCOMES, History
from pipeline_engine.lanes.job import App, Handler, Hook
from pipeline_engine.lanes.job_store import JobStore
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.maintenance import Maintenance
from pipeline_engine.lanes.progress import ProgressBoard
from pipeline_engine.lanes.queue import LaneQueue
from pipeline_engine.lanes.redis_health import repeat_turns
from pipeline_engine.lanes.runner import Runner
from pipeline_engine.lanes.worker import Worker
from pipeline_engine.run_forever import stop_tasks

log = logs.get(__name__)

# What `drain` takes beyond the grace, in seconds: cancelled jobs end, outcomes reach Redis, history and clients close.
CANCEL_TIMEOUT, SETTLE_TIMEOUT, FLUSH_TIMEOUT, CLOSE_TIMEOUT = 1.5, 1.5, 1.0, 0.5

FEW_LOOKS_SECONDS = 60.0


class LaneStats(msgspec.Struct, frozen=True):
    """One lane of this daemon, counted since its start.

    `refused` jobs were not sealed with our key, `unknown` ones have no handler here, `late` ones were settled after
    another worker had claimed them. `attempts` counts attempts by what became of the job: {done, retried, dead,
    released: number}, where released jobs were put off; `busy_seconds` is the time that these attempts took.
    """

    places: int
    running: int
    refused: int
    unknown: int
    late: int
    attempts: Mapping[str, int]
    busy_seconds: float


class WorkerPool(Generic[App]):
    """Runs the jobs of some lanes from `start` to `drain`. No failure of Redis, a job or a hook ends or blocks it."""

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
        """`lease`: the seconds after which other daemons take over a job of a dead one. `look_every`: the seconds
        between two looks at all lanes, the safety net behind the wake-ups; with a minute or more, commands are paid
        for, and none is sent only to check a connection."""
        self._redis = connect_once(url, checks=look_every < FEW_LOOKS_SECONDS)
        self._listening = connect_for_listening(url)
        self._queue = queue
        self._health = queue.health
        self._history = History(lanes, store, self._redis, queue.keys)
        board, owner = ProgressBoard(), daemon_id()
        self._runners = {
            lane.name: Runner(lane, handlers, app, queue.codec, store, self._history, board, hooks) for lane in lanes
        }
        self._workers = {
            lane.name: Worker(lane, self._runners[lane.name], self._redis, queue.keys, owner, lease) for lane in lanes
        }
        self._maintenance = Maintenance(
            self._redis,
            self._listening,
            queue,
            self._workers,
            sorted(handlers),
            self._history,
            board,
            lease,
            look_every,
        )
        self._worker_loops: list[asyncio.Task[None]] = []
        self._maintenance_loops: list[asyncio.Task[None]] = []

    @property
    def degraded(self) -> bool:
        """True while Redis does not answer. Work rests and resumes by itself."""
        return self._health.degraded

    def stats(self) -> dict[str, LaneStats]:
        """The figures of every lane by its name."""
        return {name: self._stats(worker, self._runners[name]) for name, worker in self._workers.items()}

    def _stats(self, worker: Worker[App], runner: Runner[App]) -> LaneStats:
        totals = self._history.totals(worker.lane.name)
        return LaneStats(
            worker.lane.places,
            len(worker.running),
            runner.refused,
            runner.unknown,
            worker.late,
            {outcome: totals.get(outcome, 0) for outcome in OUTCOMES},
            totals.get("ms", 0) / 1000,
        )

    async def start(self) -> None:
        """Start the loops. Returns at once: without Redis the pool starts degraded."""
        self._queue.listen(self._maintenance.wake)
        self._worker_loops = [
            asyncio.create_task(repeat_turns(f"lane {name}", self._health, worker.turn))
            for name, worker in self._workers.items()
        ]
        self._maintenance_loops = [
            asyncio.create_task(repeat_turns(name, self._health, turn))
            for name, turn in self._maintenance.turns().items()
        ]

    async def drain(self, grace: float = 20.0) -> None:
        """Claim no more jobs, let running ones end for up to `grace` seconds, cancel the rest and return them to Redis.

        Ends within grace + 5 s, with or without Redis, and never raises. A job that ignores its cancellation is left
        behind and logged.
        """
        for worker in self._workers.values():
            worker.close()
        await self._wait_for_jobs(grace)
        for task in self._running_tasks():
            task.cancel()
        await self._wait_for_jobs(CANCEL_TIMEOUT)
        if left := self._running_tasks():
            log.error("jobs.abandoned", jobs=len(left))
        if self._worker_loops:
            await asyncio.wait(self._worker_loops, timeout=SETTLE_TIMEOUT)
        await self._stop()

    def _running_tasks(self) -> list[asyncio.Task[None]]:
        return [running.task for worker in self._workers.values() for running in worker.running.values()]

    async def _wait_for_jobs(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        while (tasks := self._running_tasks()) and (left := deadline - monotonic()) > 0:
            await asyncio.wait(tasks, timeout=left)

    async def _stop(self) -> None:
        await stop_tasks(*self._worker_loops, *self._maintenance_loops)
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await self._history.flush()
        for client in (self._redis, self._listening):
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await client.aclose()
