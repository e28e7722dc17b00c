"""arq's worker, made patient: a lost Redis ends neither its loop nor its farewell."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import cron
from arq.worker import Worker
from redis.asyncio import ConnectionPool

from pipeline_engine.arq_patches import patch_arq
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.lanes import Codec
from tests.support.eventually import eventually


def worker(url: str, ticks: list[int], ended: list[int]) -> Worker:
    patch_arq()
    codec = Codec(secrets.token_bytes(32))
    pool = ConnectionPool.from_url(url, socket_timeout=1, socket_connect_timeout=1)

    async def tick(_context: dict[Any, Any]) -> None:
        ticks.append(1)

    async def end(_context: dict[Any, Any]) -> None:
        ended.append(1)

    ticking: Any = tick
    ending: Any = end
    return Worker(
        cron_jobs=[cron(ticking, second=set(range(60)), unique=False, keep_result=0)],
        queue_name="pe:cron:test",
        redis_pool=ArqRedis(pool, codec.serialize, codec.deserialize, "pe:cron:test"),
        job_serializer=codec.serialize,
        job_deserializer=codec.deserialize,
        handle_signals=False,
        keep_result=0,
        poll_delay=0.05,
        on_shutdown=ending,
    )


@pytest.mark.covers("R-29")
async def test_cron_rests_while_redis_is_away_and_goes_on(own_redis: Redis) -> None:
    ticks: list[int] = []
    ended: list[int] = []
    patient = worker(own_redis.url, ticks, ended)
    running = asyncio.create_task(patient.async_run())
    await eventually(lambda: len(ticks) >= 1, "the first tick", 20)

    await own_redis.stop(patience=0)
    await asyncio.wait({running}, timeout=2)
    assert not running.done()
    before = len(ticks)
    await own_redis.start()
    await eventually(lambda: len(ticks) > before, "the next tick", 20)

    await own_redis.stop(patience=0)
    running.cancel()
    async with asyncio.timeout(10):
        await patient.close()
    assert ended == [1]
