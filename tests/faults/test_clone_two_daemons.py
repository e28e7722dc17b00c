"""Several daemons at once on the same clones, and a Redis that forgets: whatever is dispatched twice is done once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.faults.clone_drill import CloneDrill
from tests.support.history import CONVERGED
from tests.support.point import Point

CLONES, STEPS, EMPTIED = 4, 8, 6
END = "mongo.funnel.step.update_one"


@pytest.mark.slow
@pytest.mark.covers("FC-11", "FC-X5", "FC-X7", "R-02")
async def test_two_daemons_and_a_redis_that_is_emptied_again_and_again(
    clone_drill: CloneDrill, own_redis: Redis, figure: list[str]
) -> None:
    drill = clone_drill
    both = await asyncio.gather(*(drill.started(REDIS_URL=own_redis.url, CLONE_COPIES="1") for _ in range(2)))
    for _ in range(CLONES):
        drill.plant(STEPS)
    async with RedisClient.from_url(own_redis.url) as client:
        for part in range(EMPTIED):
            await _progress(drill, CLONES * STEPS * part // EMPTIED)
            await client.flushall()  # what runs is dispatched again, by both, and claimed by one
    await drill.come_to_rest()
    drill.judge()

    shares = [daemon.calls(END) for daemon in both]
    claims = [step["token"] for step in drill.world.db["funnel.step"].find({"clone_id": {"$ne": None}})]
    figure.append(f"emptied {EMPTIED} times; steps done by each of two daemons: {shares}")
    assert min(shares) > 0
    assert set(claims) == {1}


@pytest.mark.slow
@pytest.mark.covers("FC-12", "FC-X8")
async def test_a_daemon_dies_while_it_plans_and_redis_forgets(
    environment: dict[str, str], tmp_path: Path, own_redis: Redis, figure: list[str]
) -> None:
    # So long that the next daemon's first look comes too early.
    lease = {"LEASE_SECONDS": "8", "HEARTBEAT_SECONDS": "1", "REDIS_URL": own_redis.url}
    with CloneDrill({**environment, **lease}, tmp_path) as drill:
        drill.plant(STEPS)
        daemon = drill.start(FAULT_PLAN=Point("mongo.funnels.find_one_and_update", 2, "after").plan)
        await drill.until(lambda: not daemon.alive, "it dies while it plans")
        async with RedisClient.from_url(own_redis.url) as client:
            await client.flushall()
        await drill.started()
        took = await drill.come_to_rest()
        drill.judge(patience=CONVERGED)
    figure.append(f"whole {took:.1f} s after the next daemon had started")


async def _progress(drill: CloneDrill, steps: int) -> None:
    await drill.until(lambda: drill.done() >= steps, f"{steps} steps are done")
