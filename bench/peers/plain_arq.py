"""arq as it comes, doing what peers/ours.py does: `python -m bench.peers.plain_arq SCENARIO JOBS URL`."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from arq import func
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker

PLACES = 32
BUSY = 0.025
POLL = 0.5


def worker(pool: ArqRedis, queue: str, job: Callable[..., Coroutine[Any, Any, None]]) -> Worker:
    functions = [func(job, name="job")]
    return Worker(functions, queue_name=queue, redis_pool=pool, max_jobs=PLACES, keep_result=0, handle_signals=False)


async def drained(pool: ArqRedis, queue: str, jobs: int, seconds_each: float) -> dict[str, Any]:
    left, over = jobs, asyncio.Event()

    async def job(_context: dict[str, Any], _id: int) -> None:
        nonlocal left
        if seconds_each:
            await asyncio.sleep(seconds_each)
        left -= 1
        if not left:
            over.set()

    for i in range(jobs):
        await pool.enqueue_job("job", i, _queue_name=queue)
    working = asyncio.create_task(worker(pool, queue, job).async_run())
    cpu, start = time.process_time(), time.perf_counter()
    await over.wait()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    working.cancel()
    return {"seconds": seconds, "cpu_us": cpu / jobs * 1e6}


async def picked_up(pool: ArqRedis, queue: str, jobs: int) -> dict[str, Any]:
    started: asyncio.Future[float] = asyncio.Future()
    waits = []

    async def job(_context: dict[str, Any], _id: int) -> None:
        started.set_result(time.perf_counter())

    working = asyncio.create_task(worker(pool, queue, job).async_run())
    for i in range(jobs):
        started = asyncio.Future()
        start = time.perf_counter()
        await pool.enqueue_job("job", i, _queue_name=queue)
        waits.append((await started - start) * 1000)
        await asyncio.sleep(random.uniform(0, POLL))  # a fixed rest would always meet the same moment between two polls
    working.cancel()
    return {"waits_ms": waits}


async def main(scenario: str, jobs: int, url: str) -> dict[str, Any]:
    logging.getLogger("arq").setLevel(logging.WARNING)
    pool = await create_pool(RedisSettings.from_dsn(url))
    queue = f"bench:arq:{time.time_ns()}"
    match scenario:
        case "empty":
            return await drained(pool, queue, jobs, 0)
        case "busy":
            return await drained(pool, queue, jobs, BUSY)
        case _:
            return await picked_up(pool, queue, jobs)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
