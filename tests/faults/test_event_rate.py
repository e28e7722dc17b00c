"""The rate of the event lanes holds over all daemons, and is used up."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.asyncio import Redis

from pipeline_engine import settings, workers
from pipeline_engine.domain.events.jobs import CONSUME
from pipeline_engine.lanes import Codec, Context, DeadLetter, HistoryRow, LaneQueue, NewJob, WorkerPool, connect
from tests.support.eventually import eventually

SECONDS = 30.0
RATE = 5


class NoStore:
    async def record(self, rows: Any) -> None:
        _: list[HistoryRow] = rows

    async def save_dead_letter(self, letter: DeadLetter) -> None: ...


@pytest.mark.slow
@pytest.mark.covers("CL-04")
async def test_two_daemons_start_five_jobs_a_second_together(servers: dict[str, str], redis_prefix: str) -> None:
    starts: list[float] = []

    async def handler(_: Context[None]) -> None:
        starts.append(time.monotonic())

    url = servers["REDIS_URL"]
    redis: Redis
    async with connect(url) as redis:
        queue = LaneQueue(redis, Codec(b"a key of thirty-two bytes or more"), redis_prefix)
        system = next(one for one in workers.SYSTEMS if CONSUME in one.handlers)
        lane = system.tune(CONSUME.lane, settings.load(_env_file=None))
        assert (lane.places, lane.rate and (lane.rate.jobs, lane.rate.seconds)) == (3, (RATE, 1.0))
        pools = [WorkerPool(url, queue, [lane], {"f": handler}, None, NoStore()) for _ in range(2)]
        await queue.enqueue_many(lane.name, [NewJob("f") for _ in range(400)])
        for pool in pools:
            await pool.start()
        await eventually(lambda: starts and time.monotonic() - starts[0] > SECONDS + 0.5, "half a minute passed", 60)
        for pool in pools:
            await pool.drain(grace=1)
    in_time = [start for start in starts if start - starts[0] < SECONDS]
    assert 0.9 * RATE * SECONDS <= len(in_time) <= 1.1 * RATE * SECONDS
