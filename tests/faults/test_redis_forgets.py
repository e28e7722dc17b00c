"""What Redis forgot: jobs that no run had claimed, of which MongoDB reports no change, and pauses of lanes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from redis import Redis as Client

from pipeline_engine import lane_pauses
from pipeline_engine.embedded.redis import Redis
from pipeline_engine.errors import Unreachable
from pipeline_engine.redis_loss import watch_for_redis_loss
from pipeline_engine.settings import from_environment
from tests.support.automations import tagged
from tests.support.daemon import Daemon
from tests.support.engine_app import open_app
from tests.support.eventually import eventually
from tests.support.funnels import Original, new_clone
from tests.support.world import World

T_CONV = 30.0
"""Seconds after a fault within which everything goes on."""
LANES = ("deals.automations.add_tag", "funnels_clone")


async def test_what_waited_is_dispatched_again(
    world: World, environment: dict[str, str], own_redis: Redis, tmp_path: Path
) -> None:
    seldom = {"AUTOMATION_SWEEP_SECONDS": "600", "FUNNEL_SWEEP_SECONDS": "600"}
    settings = {**environment, **own_redis.environment(), **seldom}
    prefix, tag = environment["REDIS_PREFIX"], ObjectId()
    world.automation("add_tag", tag=tag)
    deal, clone = world.deal(), new_clone(world, Original(world, steps=1))
    world.db["engine_keys"].insert_one({"_id": "paused_lanes", "lanes": []})  # no record, so these end with Redis' data
    with Client.from_url(settings["REDIS_URL"]) as redis:
        for lane in LANES:
            redis.set(f"{prefix}{lane}:paused", "1")
        daemon = Daemon(settings, tmp_path, "daemon")

        def all_wait() -> Any:
            return all(redis.zcard(f"{prefix}{lane}:normal") for lane in LANES)

        await eventually(lambda: daemon.ready, "the daemon is ready", 30, daemon)
        await eventually(all_wait, "both jobs wait", 30, daemon)
        await _changes_are_heard(world, daemon)  # from here on no sweep looks by itself
        redis.flushall()

    await eventually(lambda: deal in tagged(world, tag), "the deal is tagged", T_CONV, daemon)
    await eventually(lambda: _is_done(world, clone), "the clone is done", T_CONV, daemon)
    daemon.kill()


async def test_a_lane_is_still_paused_when_redis_and_daemon_have_started_anew(
    world: World, environment: dict[str, str], own_redis: Redis, tmp_path: Path
) -> None:
    settings = {**environment, **own_redis.environment()}
    lane, tag = LANES[0], ObjectId()
    stem = f"{environment['REDIS_PREFIX']}{lane}:"
    world.automation("add_tag", tag=tag)
    deal = world.deal()
    async with open_app(from_environment(settings)) as app:
        with Client.from_url(settings["REDIS_URL"]) as redis:
            await lane_pauses.pause(app, lane)
            redis.flushall()
            daemon = Daemon(settings, tmp_path, "daemon")
            await eventually(lambda: redis.zcard(f"{stem}normal"), "the job waits", T_CONV, daemon)
            assert redis.exists(f"{stem}paused")
            assert tagged(world, tag) == set()

        await lane_pauses.resume(app, lane)
        await eventually(lambda: deal in tagged(world, tag), "the deal is tagged", T_CONV, daemon)
    daemon.kill()


async def _changes_are_heard(world: World, daemon: Daemon) -> None:
    elsewhere = ObjectId()
    world.automation("note", note="x", stage_id=elsewhere)
    deal = world.deal(stage_id=elsewhere)
    await eventually(lambda: world.db["notes"].find_one({"deal_id": deal}) is not None, "a deal was noted", 10, daemon)


def _is_done(world: World, clone: ObjectId) -> bool:
    return world.db["funnels"].count_documents({"_id": clone, "pending": False, "in_progress": False}) == 1


@pytest.mark.slow
async def test_a_redis_that_hangs_may_have_forgotten(environment: dict[str, str], own_redis: Redis) -> None:
    """A mark may be left of which we never hear."""
    poked: list[object] = []
    settings = from_environment({**environment, **own_redis.environment(), "HEARTBEAT_SECONDS": "0.1"})
    async with open_app(settings) as app:
        noticing = asyncio.create_task(watch_for_redis_loss(app, [poked.append]))
        await eventually(lambda: len(poked) == 1, "the first look", 10)
        own_redis.program.pause()
        for _ in range(2):  # by the end of the second, the other one has given up as well
            with pytest.raises(Unreachable):
                await app.queue.mark("another")
        own_redis.program.resume()
        await eventually(lambda: len(poked) == 2, "everything is looked at again", 10)
        noticing.cancel()
