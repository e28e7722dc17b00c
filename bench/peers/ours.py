"""Our lanes at work: `python -m bench.peers.ours SCENARIO JOBS URL`, one line of JSON. The peers do the same.

empty   jobs that do nothing, all enqueued before the workers start: seconds, µs of worker CPU per job
busy    the same with jobs of 25 ms
pickup  one job at a time on an idle lane, enqueued over a connection that the workers do not share: ms until it starts
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from pipeline_engine import logs
from pipeline_engine.lanes import (
    Backoff,
    Codec,
    Context,
    DeadLetter,
    HistoryRow,
    Lane,
    LaneQueue,
    NewJob,
    WorkerPool,
    connect,
)

LANE = Lane("bench", places=32, backoff=Backoff.fixed(4))
CODEC = Codec(b"a key for the bench of the lanes")
BUSY = 0.025
REST = 0.005  # between two pickups, so that the lane is idle again


class Nowhere:
    async def record(self, rows: Sequence[HistoryRow]) -> None: ...

    async def save_dead_letter(self, letter: DeadLetter) -> None:
        raise AssertionError(letter)


class Bench:
    def __init__(self, jobs: int, url: str, queue: LaneQueue) -> None:
        self._jobs, self._url, self._queue = jobs, url, queue
        self._left = jobs
        self._over = asyncio.Event()
        self._started: asyncio.Future[float] = asyncio.Future()

    def worker_pool(self) -> WorkerPool[None]:
        workers_own = LaneQueue(connect(self._url), CODEC, self._queue.keys.prefix)
        handlers = {"empty": self._empty, "busy": self._busy, "pickup": self._pickup}
        return WorkerPool(self._url, workers_own, [LANE], handlers, None, Nowhere())

    async def _empty(self, _: Context[None], _id: int) -> None:
        self._count()

    async def _busy(self, _: Context[None], _id: int) -> None:
        await asyncio.sleep(BUSY)
        self._count()

    async def _pickup(self, _: Context[None], _id: int) -> None:
        self._started.set_result(time.perf_counter())

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._over.set()

    async def drained(self, function: str) -> dict[str, Any]:
        await self._queue.enqueue_many(LANE.name, (NewJob(function, (i,), id=str(i)) for i in range(self._jobs)))
        worker_pool = self.worker_pool()
        cpu, start = time.process_time(), time.perf_counter()
        await worker_pool.start()
        await self._over.wait()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        await worker_pool.drain()
        return {"seconds": seconds, "cpu_us": cpu / self._jobs * 1e6}

    async def picked_up(self) -> dict[str, Any]:
        worker_pool = self.worker_pool()
        await worker_pool.start()
        waits = []
        for i in range(self._jobs):
            self._started = asyncio.Future()
            start = time.perf_counter()
            await self._queue.enqueue(LANE.name, "pickup", i, id=str(i))
            waits.append((await self._started - start) * 1000)
            await asyncio.sleep(REST)
        await worker_pool.drain()
        return {"waits_ms": waits}


async def main(scenario: str, jobs: int, url: str) -> dict[str, Any]:
    logs.configure("INFO", "json")
    async with connect(url) as redis:
        bench = Bench(jobs, url, LaneQueue(redis, CODEC, f"bench:{time.time_ns()}:", ttl=None))
        return await (bench.picked_up() if scenario == "pickup" else bench.drained(scenario))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
