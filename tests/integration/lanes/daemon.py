"""A process with one worker_pool, for tests that kill it: `python -m tests.integration.lanes.daemon URL PREFIX LEASE`.

What ran is noted in the list `<prefix>ran` as `<function> <job id> <crashes>`, dead letters in `<prefix>buried`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from redis.asyncio import Redis

from pipeline_engine.lanes import Context, DeadLetter, HistoryRow, LaneQueue, WorkerPool, connect
from tests.integration.lanes.stage import CODEC, lane

PLACES = 5


class RedisBook:
    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def record(self, rows: Sequence[HistoryRow]) -> None: ...

    async def save_dead_letter(self, letter: DeadLetter) -> None:
        await self._redis.rpush(f"{self._prefix}buried", f"{letter.job_id} {letter.error}")  # type: ignore[misc]


async def main(url: str, prefix: str, lease: float) -> None:
    async with connect(url) as redis:

        async def note(context: Context[None]) -> None:
            job = context.job
            await redis.rpush(f"{prefix}ran", f"{job.function} {job.id} {job.crashes}")  # type: ignore[misc]

        async def quick(context: Context[None]) -> None:
            await asyncio.sleep(0.2)
            await note(context)

        async def hold(context: Context[None]) -> None:
            await note(context)
            await asyncio.Event().wait()

        async def die(context: Context[None]) -> None:
            await note(context)
            await asyncio.sleep(0.1)  # its neighbours have started by now
            os.kill(os.getpid(), signal.SIGKILL)

        queue = LaneQueue(redis, CODEC, prefix)
        handlers = {"quick": quick, "hold": hold, "die": die}
        worker_pool = WorkerPool(
            url, queue, [lane(PLACES)], handlers, None, RedisBook(redis, prefix), lease=lease, look_every=0.1
        )
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await worker_pool.start()
        await stop.wait()
        await worker_pool.drain(grace=0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
