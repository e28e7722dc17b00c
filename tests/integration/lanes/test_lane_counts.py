"""How many jobs are in a lane, and how long the oldest has waited."""

from __future__ import annotations

from redis.asyncio import Redis

from pipeline_engine.lanes import Counts, LaneQueue, NewJob


async def test_jobs_are_counted_by_state_in_every_lane_that_is_asked_for(queue: LaneQueue, redis: Redis) -> None:
    await queue.enqueue_many("test", [NewJob("f") for _ in range(3)], priority="high")
    await queue.enqueue_many("test", [NewJob("f") for _ in range(2)], priority="low")
    await queue.enqueue("test", "f", delay=60)
    await redis.zadd(queue.keys.inbox("test"), {"arq's own": 1})
    await queue.pause("test")

    counts = await queue.counts(["empty", "test"])

    assert counts["empty"] == Counts(waiting=0, delayed=0, active=0, parked=0, paused=False, oldest_seconds=0.0)
    test = counts["test"]
    assert (test.waiting, test.delayed, test.active, test.parked, test.paused) == (6, 1, 0, 0, True)
    assert await queue.counts([]) == {}


async def test_the_oldest_in_line_is_found_in_all_priorities(queue: LaneQueue, redis: Redis) -> None:
    seconds, micros = await redis.time()
    now = seconds * 1_000_000 + micros
    stem = queue.keys.stem("test")
    await redis.zadd(stem + "normal", {"head of the line": 0, "a": now - 2_000_000})
    await redis.zadd(stem + "low", {"b": now - 90_000_000})
    await redis.zadd(stem + "high", {"c": now})

    assert 90 <= (await queue.counts(["test"]))["test"].oldest_seconds < 120


async def test_one_that_has_no_time_of_arrival_or_one_to_come_has_no_age(queue: LaneQueue, redis: Redis) -> None:
    await redis.zadd(queue.keys.stem("test") + "normal", {"head of the line": 0, "planted": float("inf")})
    await queue.enqueue("test", "f", delay=60)

    counts = (await queue.counts(["test"]))["test"]
    assert (counts.waiting, counts.oldest_seconds) == (2, 0)
