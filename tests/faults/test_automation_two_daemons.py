"""Several daemons at once on the same automations: whatever is dispatched twice is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis as RedisClient

from pipeline_engine.embedded.redis import Redis
from tests.faults.automation_checker import Expected
from tests.faults.automation_drill import AutomationDrill

DEALS, EMPTIED = 100, 8
LOG = "mongo.automation_logs.insert_one"


@pytest.mark.slow
@pytest.mark.covers("DA-01", "DA-X1", "DA-X3", "R-02")
async def test_two_daemons_and_a_redis_that_is_emptied_again_and_again(
    automation_drill: AutomationDrill, own_redis: Redis, figure: list[str]
) -> None:
    drill = automation_drill
    short = {"AUTOMATION_BATCH": "5", "AUTOMATION_SLICE_SECONDS": "0.05", "REDIS_URL": own_redis.url}
    both = await asyncio.gather(drill.started(**short), drill.started(**short))
    planted = [drill.plant(type, DEALS, bad=2) for type in ("add_tag", "note", "email", "sms", "instareport")]
    async with RedisClient.from_url(own_redis.url) as client:
        for part in range(1, EMPTIED):
            some = len(planted) * DEALS * part // EMPTIED
            await _progress(drill, planted, some)
            await client.flushall()  # what runs is dispatched again, by both, and claimed by one
    await drill.come_to_rest()
    drill.judge()

    shares = [daemon.calls(LOG) for daemon in both]
    figure.append(f"emptied {EMPTIED - 1} times; batches done by each of two daemons: {shares}")
    assert min(shares) > 0


async def _progress(drill: AutomationDrill, planted: Sequence[Expected], deals: int) -> None:
    await drill.until(lambda: sum(map(drill.marked, planted)) >= deals, f"{deals} deals are through")
