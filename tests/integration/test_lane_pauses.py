"""Pauses of lanes outlive Redis: the daemon restores them before it wakes a sweep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis as Client

from pipeline_engine import lane_pauses, redis_loss
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.settings import from_environment
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.world import World

LANE = "deals.automations.email"


@pytest.fixture
def settings(environment: dict[str, str], own_redis: Redis) -> dict[str, str]:
    return {**environment, **own_redis.environment(), "HEARTBEAT_SECONDS": "0.1"}


@pytest.fixture
async def app(settings: dict[str, str]) -> AsyncIterator[EngineApp]:
    async with open_app(from_environment(settings)) as app:
        yield app


@pytest.fixture
def redis(own_redis: Redis) -> Iterator[Client]:
    with Client.from_url(own_redis.url) as client:
        yield client


@asynccontextmanager
async def watched(app: EngineApp, redis: Client) -> AsyncIterator[list[bool]]:
    """What the daemon does about Redis' losses: for each wake-up of a sweep, whether the lane was paused then."""
    wake_ups: list[bool] = []
    key = app.queue.keys.stem(LANE) + "paused"
    wake_up = lambda _place: wake_ups.append(bool(redis.exists(key)))  # noqa: E731
    watching = asyncio.create_task(redis_loss.watch_for_redis_loss(app, [wake_up]))
    await eventually(lambda: len(wake_ups) == 1, "the look at the start")
    yield wake_ups
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def is_paused(app: EngineApp) -> bool:
    return (await app.queue.counts([LANE]))[LANE].paused


async def test_a_pause_holds_when_redis_has_lost_its_data(app: EngineApp, redis: Client) -> None:
    async with watched(app, redis) as wake_ups:
        await lane_pauses.pause(app, LANE)
        redis.flushall()
        await eventually(lambda: len(wake_ups) == 2, "the sweeps are woken")
        assert wake_ups == [False, True]

        await lane_pauses.resume(app, LANE)
        redis.flushall()
        await eventually(lambda: len(wake_ups) == 3, "the sweeps are woken")
        assert wake_ups == [False, True, False]


async def test_a_replica_that_took_over_may_lack_the_pause_alone(app: EngineApp, redis: Client) -> None:
    async with watched(app, redis) as wake_ups:
        await lane_pauses.pause(app, LANE)
        redis.delete(app.queue.keys.stem(LANE) + "paused")
        await eventually(lambda: is_paused(app), "the lane is paused again")
        assert wake_ups == [False]


async def test_what_an_older_engine_has_paused_in_redis_is_recorded(
    app: EngineApp, redis: Client, world: World
) -> None:
    await app.queue.pause(LANE)
    await lane_pauses.restore(app)
    redis.flushall()

    await lane_pauses.restore(app)

    assert await is_paused(app)
    (record,) = world.db["engine_keys"].find({"_id": "paused_lanes"})
    assert (record["lanes"], record["createdAt"]) == ([LANE], record["updatedAt"])


@pytest.mark.parametrize("lanes", ["deals.import", None, [7, LANE]], ids=str)
async def test_a_record_that_others_have_spoiled_stops_no_daemon(app: EngineApp, world: World, lanes: object) -> None:
    world.db["engine_keys"].insert_one({"_id": "paused_lanes", "lanes": lanes})

    await lane_pauses.restore(app)

    assert await is_paused(app) == isinstance(lanes, list)


async def test_in_the_frugal_profile_a_broken_connection_is_enough_of_a_sign(
    settings: dict[str, str], redis: Client
) -> None:
    async with open_app(from_environment({**settings, "PROFILE": "frugal"})) as app, watched(app, redis) as wake_ups:
        await lane_pauses.pause(app, LANE)
        redis.flushall()
        app.queue.health.failed("doorbell", ConnectionError("broken"))
        app.queue.health.worked("doorbell")
        await eventually(lambda: len(wake_ups) == 2, "the sweeps are woken")
        assert wake_ups == [False, True]
