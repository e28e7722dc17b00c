"""Others write into the keys of a lane: it is set aside and named, and the lane and its neighbours go on."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import Context, LaneQueue
from pipeline_engine.lanes.lane import Rate
from pipeline_engine.lanes.rate_limiter import RateLimiter
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import lane
from tests.support.eventually import eventually
from tests.support.said import Said

PARTS = (
    "inbox", "jobs", "high", "normal", "low", "priority", "delayed",
    "active", "owners", "parked", "state", "crashes", "rate",
)  # fmt: skip
RATE = Rate(jobs=1000, seconds=1.0)


class Ran:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, context: Context[None]) -> None:
        self.ids.append(context.job.id)


@pytest.mark.parametrize("part", PARTS)
async def test_a_key_of_another_type_is_set_aside(
    crews: Crews, queue: LaneQueue, redis: Redis, said: Said, part: str
) -> None:
    ran = Ran()
    stem = queue.keys.stem("test")
    await redis.set(stem + part, "planted")

    await crews(lane(rate=RATE), {"f": ran}, look_every=0.1, lease=60)
    await queue.enqueue("test", "f", id="one")
    await queue.enqueue("test", "f", id="two", priority="high")
    await queue.enqueue("test", "f", id="three", delay=0.1)

    await eventually(lambda: {"one", "two", "three"} <= set(ran.ids), "the lane goes on", 10)
    await eventually(lambda: f"{stem}set_aside:{part}" in said(), "it is named", 5)
    assert await redis.get(f"{stem}set_aside:{part}") == b"planted"


@pytest.mark.parametrize("value", ["abc", "", "-1", "9223372036854775807", "1e3"])
async def test_a_count_of_crashes_that_is_none_stops_nothing(
    crews: Crews, queue: LaneQueue, redis: Redis, said: Said, value: str
) -> None:
    ran = Ran()
    stem = queue.keys.stem("test")
    await queue.enqueue("test", "f", id="waits")
    await queue.enqueue("test", "f", id="held")
    await redis.hset(stem + "crashes", mapping={"waits": value, "held": value})  # type: ignore[misc]
    await redis.zrem(stem + "normal", "held")  # a process that died holds it
    await redis.zadd(stem + "active", {"held": 1})

    await crews(lane(crashes=None), {"f": ran}, look_every=0.1, lease=0.6)

    await eventually(lambda: {"waits", "held"} <= set(ran.ids), "both run", 10)
    assert "Traceback" not in said()


@pytest.mark.parametrize("priority", ["jobs", "abc", "active"])
async def test_a_priority_that_is_none_is_normal(crews: Crews, queue: LaneQueue, redis: Redis, priority: str) -> None:
    ran = Ran()
    await queue.enqueue("test", "f", id="one", delay=0.1)
    await redis.hset(queue.keys.stem("test") + "priority", "one", priority)  # type: ignore[misc]

    await crews(lane(), {"f": ran}, look_every=0.1)

    await eventually(lambda: ran.ids == ["one"], "it runs", 10)


async def test_starts_that_are_no_times_do_not_stop_a_lane_with_a_rate(
    crews: Crews, queue: LaneQueue, redis: Redis
) -> None:
    ran = Ran()
    await redis.lpush(queue.keys.stem("test") + "rate", *["abc"] * 1000)  # type: ignore[misc]
    await crews(lane(rate=RATE), {"f": ran}, look_every=0.1)
    await queue.enqueue("test", "f", id="one")
    await eventually(lambda: ran.ids == ["one"], "it runs", 10)


@pytest.mark.parametrize("part", ["normal", "delayed", "active", "inbox", "parked"])
async def test_many_planted_ids_are_removed_and_counted(
    crews: Crews, queue: LaneQueue, redis: Redis, said: Said, part: str
) -> None:
    ran = Ran()
    key = queue.keys.stem("test") + part
    ids = [f"planted {number}" for number in range(20_000)]
    if part == "parked":
        await redis.hset(key, mapping=dict.fromkeys(ids, "g"))  # type: ignore[misc]
    else:
        await redis.zadd(key, dict.fromkeys(ids, 1))
    await queue.enqueue("test", "f", id="ours", priority="high")

    await crews(lane(), {"f": ran}, look_every=0.1)

    await eventually(lambda: ran.ids == ["ours"], "the lane goes on", 5)
    if part in ("normal", "delayed"):
        await eventually(lambda: "lane.strays_removed" in said(), "they are named", 10)


@pytest.mark.parametrize("planted", ["a string", "a grant of no number"])
async def test_a_limit_goes_on_beside_what_was_planted(redis: Redis, queue: LaneQueue, planted: str) -> None:
    prefix = queue.keys.prefix
    key = f"{prefix}spent:a:sms"
    if planted == "a string":
        await redis.set(key, "x")
    else:
        await redis.zadd(key, {"abc": 1e15})

    assert (await RateLimiter(redis, prefix).acquire("a", "sms", limit=5, wanted=3)).units == 3
