"""Several daemons at once: they share the work, and the result is that of one."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.faults.drill import Drill
from tests.support.csv_files import csv_file

INSERT = "mongo.deals.insert_many"


@pytest.mark.covers("DI-X1", "DI-X8", "DI-X10", "R-02")
async def test_two_daemons_share_the_chunks_of_one_import(drill: Drill, figure: list[str]) -> None:
    settings = {"IMPORT_CHUNK_ROWS": "20"}
    both = await asyncio.gather(drill.started(**settings), drill.started(**settings))
    queue_id = drill.queue(csv_file(2_400))
    await drill.converge(queue_id)
    drill.check(queue_id)

    shares = [daemon.calls(INSERT) for daemon in both]
    figure.append(f"chunks done by each: {shares}")
    assert min(shares) >= 12


@pytest.mark.covers("DI-X1", "DI-X3", "R-02")
async def test_two_daemons_and_a_redis_that_is_emptied_again_and_again(
    drill: Drill, own_redis: Redis, figure: list[str]
) -> None:
    settings = {"IMPORT_CHUNK_ROWS": "20", "REDIS_URL": own_redis.url}
    both = await asyncio.gather(drill.started(**settings), drill.started(**settings))
    queue_id = drill.queue(csv_file(2_400))
    async with RedisClient.from_url(own_redis.url) as client:
        for done in range(10, 110, 10):
            await drill.progress(queue_id, done)
            await client.flushall()  # whatever runs is dispatched again, and claimed by nobody else
    await drill.converge(queue_id)
    drill.check(queue_id)
    figure.append(f"emptied 10 times, nothing lost, chunks done by each: {[daemon.calls(INSERT) for daemon in both]}")


@pytest.mark.slow
@pytest.mark.covers("DI-05", "DI-X15")
async def test_two_daemons_and_five_imports(drill: Drill, figure: list[str]) -> None:
    settings = {"IMPORT_CHUNK_ROWS": "50"}
    both = await asyncio.gather(drill.started(**settings), drill.started(**settings))
    imports = [drill.queue(csv_file(600, bad_every=20 * n)) for n in range(1, 6)]
    took = await drill.converge(*imports)
    drill.check(*imports)
    figure.append(f"five imports in {took:.1f} s, chunks done by each: {[daemon.calls(INSERT) for daemon in both]}")
