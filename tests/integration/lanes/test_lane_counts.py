"""How many jobs are in a lane, how long the oldest has waited, and what a daemon has done since its start."""

from __future__ import annotations

from redis.asyncio import Redis

from pipeline_engine.errors import Transient
from pipeline_engine.lanes import Context, Counts, LaneQueue, LaneStats, NewJob, Snooze, WorkerPool
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually

NONE = {"done": 0, "retried": 0, "dead": 0, "released": 0}


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


def stats(worker_pool: WorkerPool[None]) -> LaneStats:
    return worker_pool.stats()["test"]


async def test_attempts_are_counted_from_the_start_on(crews: Crews, queue: LaneQueue, book: Book) -> None:
    async def handler(context: Context[None]) -> Snooze | None:
        if context.job.id == "put off":
            return Snooze(60)
        if context.job.id == "hopeless" or context.job.attempt == 1:
            raise Transient("not now")
        return None

    worker_pool = await crews(lane(attempts=2), {"f": handler})
    assert stats(worker_pool).attempts == NONE
    for id in ("put off", "hopeless", "second time"):
        await queue.enqueue("test", "f", id=id)

    expected = {"done": 1, "retried": 2, "dead": 1, "released": 1}
    await eventually(lambda: stats(worker_pool).attempts == expected, "all attempts are counted")
    await eventually(lambda: len(book.rows) == 4, "they are written down")
    assert stats(worker_pool).attempts == expected

    await queue.enqueue("test", "f", id="third time")
    both = {**expected, "done": 2, "retried": 3}
    await eventually(lambda: stats(worker_pool).attempts == both, "the count goes on")
    assert stats(worker_pool).busy_seconds >= 0
