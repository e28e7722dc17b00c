"""Getting jobs in and out: unique ids, order, priorities, delays, places, pauses."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from redis.asyncio import Redis

from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.lanes import Context, Handler, LaneQueue, NewJob, Priority, connect
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually

PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high")


async def test_a_job_runs_with_its_arguments_and_its_context(crews: Crews, queue: LaneQueue) -> None:
    seen: list[tuple[Context[None], int, str]] = []

    async def handler(context: Context[None], number: int, word: str) -> None:
        seen.append((context, number, word))

    await crews(lane(), {"f": handler})
    before = time.time()
    assert await queue.enqueue("test", "f", 7, word="x", id="one")
    await eventually(lambda: len(seen) == 1, "the job ran")
    context, number, word = seen[0]
    assert (number, word) == (7, "x")
    assert (context.job.lane, context.job.id, context.job.function) == ("test", "one", "f")
    assert (context.job.attempt, context.job.crashes) == (1, 0)
    assert before - 0.01 <= context.job.enqueued_at.timestamp() <= time.time()


async def test_an_id_is_taken_once_while_it_waits_is_delayed_or_runs_and_again_after_its_end(
    crews: Crews, queue: LaneQueue
) -> None:
    """arq refuses the id of a finished job as long as its result is kept."""
    started, release_unchanged = asyncio.Event(), asyncio.Event()
    runs = Counter[str]()

    async def handler(context: Context[None]) -> None:
        runs[context.job.id] += 1
        started.set()
        await release_unchanged.wait()

    assert await queue.enqueue("test", "f", id="a", delay=0.05)
    assert not await queue.enqueue("test", "f", id="a"), "it is delayed"
    assert await queue.enqueue("test", "f", id="b")
    assert not await queue.enqueue("test", "f", id="b"), "it waits"
    await crews(lane(), {"f": handler})
    await eventually(lambda: runs == {"a": 1, "b": 1}, "both run")
    assert not await queue.enqueue("test", "f", id="b"), "it runs"
    release_unchanged.set()
    await eventually(lambda: _is_empty(queue), "both ended")
    assert await queue.enqueue("test", "f", id="b"), "it has ended"
    await eventually(lambda: runs == {"a": 1, "b": 2}, "it runs again")


async def test_enqueue_many_counts_what_is_new_across_batches(queue: LaneQueue) -> None:
    jobs = [NewJob("f", (i,), id=f"j{i}") for i in range(1100)]
    assert await queue.enqueue_many("test", jobs[:700]) == 700
    assert await queue.enqueue_many("test", jobs) == 400
    assert (await queue.counts(["test"]))["test"].waiting == 1100


async def test_a_delayed_job_runs_when_due_without_polling(crews: Crews, queue: LaneQueue) -> None:
    """This worker_pool looks at its lanes after half a lease at the earliest."""
    ran: list[float] = []

    async def handler(_: Context[None]) -> None:
        ran.append(time.monotonic())

    await crews(lane(), {"f": handler}, lease=60.0)
    start = time.monotonic()
    await queue.enqueue("test", "f", delay=0.3)
    await queue.enqueue("test", "f", delay=0.1)
    await eventually(lambda: len(ran) == 2, "both ran")
    assert ran[0] - start >= 0.099  # Redis counts in whole milliseconds
    assert ran[1] - start >= 0.299


async def test_another_process_rings_the_doorbell(crews: Crews, queue: LaneQueue, redis: Redis) -> None:
    """arq finds a job at its next poll. This worker_pool looks every five minutes only."""
    ran = asyncio.Event()

    async def handler(_: Context[None]) -> None:
        ran.set()

    await crews(lane(), {"f": handler})
    await eventually(lambda: _listened_to(redis, queue), "the doorbell is connected")
    other, waits = LaneQueue(redis, CODEC, queue.keys.prefix), []
    for _ in range(20):
        ran.clear()
        start = time.perf_counter()
        await other.enqueue("test", "f")
        async with asyncio.timeout(5):
            await ran.wait()
        waits.append(time.perf_counter() - start)
        await eventually(lambda: _is_empty(queue), "nothing else gives the worker a reason to ask")
    assert sorted(waits)[10] < 0.1, "arq's poll would take 0.25 s on average"


async def test_a_free_place_is_filled_at_once(crews: Crews, queue: LaneQueue) -> None:
    """arq fills slots at its next poll. This worker_pool looks at its lanes after half a lease at the earliest."""
    ended: list[str] = []

    async def handler(context: Context[None]) -> None:
        await asyncio.sleep(0.02)
        ended.append(context.job.id)

    await queue.enqueue_many("test", [NewJob("f") for _ in range(40)])
    await crews(lane(places=4), {"f": handler}, lease=60.0)
    await eventually(lambda: len(ended) == 40, "all ran")


async def test_a_full_daemon_leaves_jobs_to_others(crews: Crews, queue: LaneQueue) -> None:
    """A semaphore inside an arq job holds the job in a worker that cannot run it, while another one idles."""
    release_unchanged = asyncio.Event()
    running = Counter[str]()

    def handler_of(name: str) -> Handler[None]:
        async def handler(_: Context[None]) -> None:
            running[name] += 1
            await release_unchanged.wait()

        return handler

    await queue.enqueue_many("test", [NewJob("f") for _ in range(5)])
    await crews(lane(places=2), {"f": handler_of("first")})
    await eventually(lambda: running["first"] == 2, "the first is full")
    assert await _holds(queue, waiting=3, active=2)
    await crews(lane(places=2), {"f": handler_of("second")})
    await eventually(lambda: running["second"] == 2, "the second is full")
    assert await _holds(queue, waiting=1, active=4)
    release_unchanged.set()
    await eventually(lambda: _is_empty(queue), "all ended")


async def test_two_crews_share_a_thousand_jobs_and_none_runs_twice(crews: Crews, queue: LaneQueue) -> None:
    runs, by = Counter[int](), Counter[str]()

    def handler_of(name: str) -> Handler[None]:
        async def handler(_: Context[None], number: int) -> None:
            runs[number] += 1
            by[name] += 1
            await asyncio.sleep(0)

        return handler

    for name in ("one", "two"):
        await crews(lane(places=8), {"f": handler_of(name)})
    await queue.enqueue_many("test", [NewJob("f", (i,)) for i in range(1000)])
    await eventually(lambda: _is_empty(queue), "all ended")
    assert runs == dict.fromkeys(range(1000), 1)
    assert min(by["one"], by["two"]) > 100


async def test_a_paused_lane_starts_nothing_and_goes_on_by_the_doorbell(
    crews: Crews, queue: LaneQueue, redis: Redis
) -> None:
    ran = Counter[str]()

    async def handler(context: Context[None]) -> None:
        ran[context.job.id] += 1

    await crews(lane(), {"f": handler})
    await eventually(lambda: _listened_to(redis, queue), "the doorbell is connected")
    await queue.pause("test")
    await queue.enqueue("test", "f", id="a")
    await queue.enqueue("test", "f", id="b", delay=0.01)
    await eventually(lambda: _holds(queue, waiting=2, paused=True), "the delayed one is due as well")
    assert not ran
    await queue.resume("test")
    await eventually(lambda: ran == {"a": 1, "b": 1}, "both ran")


async def test_clean_throws_away_what_has_not_started(queue: LaneQueue) -> None:
    for priority in PRIORITIES:
        await queue.enqueue_many("test", [NewJob("f") for _ in range(700)], priority=priority)
    await queue.enqueue("test", "f", id="later", delay=60)
    assert await queue.clean("test", "waiting") == 2100
    assert await _holds(queue, waiting=0, delayed=1)
    assert await queue.clean("test", "delayed") == 1
    assert await queue.enqueue("test", "f", id="later"), "its id is free again"


async def test_a_crew_with_nothing_to_do_says_nothing_to_redis(crews: Crews, own_redis: Server) -> None:
    """Metered Redis bills commands; arq polls twice a second for ever."""
    async with connect(own_redis.url) as client:
        queue = LaneQueue(client, CODEC)
        ran = asyncio.Event()

        async def handler(_: Context[None]) -> None:
            ran.set()

        await crews(lane(), {"f": handler}, url=own_redis.url, queue=queue, lease=0.4)
        await queue.enqueue("test", "f")
        await ran.wait()
        await eventually(lambda: _has_minutes(queue), "everything about it is written")
        before = (await client.info("stats"))["total_commands_processed"]
        start = time.monotonic()
        await eventually(lambda: time.monotonic() > start + 1.5, "a while passed")
        assert (await client.info("stats"))["total_commands_processed"] == before + 1, "only this question"


async def test_with_a_ttl_nothing_is_left_behind(redis: Redis, redis_prefix: str, crews: Crews) -> None:
    once = LaneQueue(redis, CODEC, redis_prefix, ttl=3600)
    ran = asyncio.Event()

    async def handler(_: Context[None]) -> None:
        ran.set()

    await once.enqueue_many("test", [NewJob("f", id="low")], priority="low")
    await once.enqueue("test", "f", id="later", delay=60)
    await once.pause("other")
    await crews(lane(), {"f": handler}, queue=once)
    await ran.wait()
    await once.minutes("test")
    await eventually(lambda: _has_minutes(once), "the minute was charted")
    keys = [key async for key in redis.scan_iter(f"{redis_prefix}*")]
    assert len(keys) >= 4
    assert all([0 < await redis.ttl(key) <= 3600 for key in keys])


async def test_a_large_payload_is_refused_at_the_door(queue: LaneQueue) -> None:
    with pytest.raises(ValueError, match="at most 65536"):
        await queue.enqueue("test", "f", "x" * 70_000)


async def _holds(queue: LaneQueue, **expected: int | bool) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _has_minutes(queue: LaneQueue) -> bool:
    return any(chart.get("done") for chart in (await queue.minutes("test")).values())


async def _listened_to(redis: Redis, queue: LaneQueue) -> bool:
    ((_, listeners),) = await redis.pubsub_numsub(queue.keys.doorbell)
    return bool(listeners)
