"""Redis is emptied, restarted, stopped or hangs in mid-import: nothing is lost, and the daemon lives on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.support.drills.drill import Drill
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill, ImportPlan
from tests.support.proxy import Fault, Proxy

ROWS = 2_400
CHUNKS = 120
SETTINGS = {"IMPORT_CHUNK_ROWS": str(ROWS // CHUNKS)}
MAX_RECOVERY_SECONDS = 15.0
"""Seconds from Redis' return to the next chunk."""

Outage = Callable[[Redis, Proxy], Awaitable[None]]


@pytest.fixture
async def proxy(own_redis: Redis) -> AsyncIterator[Proxy]:
    async with Proxy.before(own_redis.url) as proxy:
        yield proxy


@pytest.fixture
async def redis_drill(environment: dict[str, str], own_redis: Redis, tmp_path: Path) -> AsyncIterator[ImportDrill]:
    async with Drill(ImportPlan(), {**environment, "REDIS_URL": own_redis.url, **SETTINGS}, tmp_path) as drill:
        yield drill


async def emptied(redis: Redis, _proxy: Proxy) -> None:
    async with RedisClient.from_url(redis.url) as client:
        await client.flushall()


async def stopped(redis: Redis, _proxy: Proxy) -> None:
    await redis.stop()


async def started(redis: Redis, _proxy: Proxy) -> None:
    await redis.start()


async def lost_with_all_its_data(redis: Redis, proxy: Proxy) -> None:
    await redis.stop()
    for file in redis.data.rglob("*.*"):
        file.unlink()


async def frozen(redis: Redis, _proxy: Proxy) -> None:
    redis.program.pause()


async def thawed(redis: Redis, _proxy: Proxy) -> None:
    redis.program.resume()


async def blackhole(_redis: Redis, proxy: Proxy) -> None:
    proxy.set(Fault(hang=True))


async def healed(_redis: Redis, proxy: Proxy) -> None:
    proxy.heal()


async def nothing(_redis: Redis, _proxy: Proxy) -> None:
    return


OUTAGES: list[tuple[Outage, Outage, float]] = [
    (emptied, nothing, 0),
]
MORE_OUTAGES: list[tuple[Outage, Outage, float]] = [
    (stopped, started, 3),
    (frozen, thawed, 3),
    (stopped, started, 0),
    (stopped, started, 20),
    (lost_with_all_its_data, started, 1),
    (lost_with_all_its_data, started, 20),
    (frozen, thawed, 20),
    (blackhole, healed, 3),
    (blackhole, healed, 20),
]


def _name(part: object) -> str:
    return getattr(part, "__name__", str(part))


@pytest.mark.parametrize(
    ("outage", "end", "seconds"),
    [*OUTAGES, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE_OUTAGES)],
    ids=_name,
)
async def test_an_import_goes_on_after_an_outage(
    redis_drill: ImportDrill,
    own_redis: Redis,
    proxy: Proxy,
    outage: Outage,
    end: Outage,
    seconds: float,
    figure: list[str],
) -> None:
    drill = redis_drill
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(REDIS_URL=proxy.instead_of(own_redis.url))
    await drill.progress(CHUNKS // 10)

    await outage(own_redis, proxy)
    await drill.outlast(daemon, seconds)
    await end(own_redis, proxy)
    done = drill.plan.done()
    went_on = await drill.progress(done + 1)
    assert done < CHUNKS, "the import was over before Redis was back"

    await drill.come_to_rest(timeout=60)
    drill.check()
    assert daemon.alive
    assert drill.world.import_of(queue_id)["attempts"] == 1
    figure.append(f"went on after {went_on:.1f} s, nothing lost")
    assert went_on < MAX_RECOVERY_SECONDS
