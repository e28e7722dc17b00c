"""The end of a worker_pool: nothing lost, nothing counted, always in time."""

from __future__ import annotations

import asyncio
import time

import pytest

from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.lanes import Context, Finished, LaneQueue, NewJob, connect
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually


async def test_running_jobs_end_within_the_grace_and_nothing_new_starts(crews: Crews, queue: LaneQueue) -> None:
    """arq cancels at once."""
    ended: list[str] = []
    release_unchanged = asyncio.Event()

    async def handler(context: Context[None]) -> None:
        await release_unchanged.wait()
        ended.append(context.job.id)

    worker_pool = await crews(lane(places=2), {"f": handler})
    await queue.enqueue_many("test", [NewJob("f", id=name) for name in ("a", "b", "c")])
    await eventually(lambda: _holds(queue, active=2), "two run")
    draining = asyncio.create_task(worker_pool.drain(grace=10))
    await asyncio.sleep(0)
    release_unchanged.set()
    await draining
    assert sorted(ended) == ["a", "b"]
    assert await _holds(queue, active=0, waiting=1)


async def test_what_the_grace_does_not_see_through_goes_to_the_head_of_the_line_and_no_attempt_is_used(
    crews: Crews, queue: LaneQueue
) -> None:
    """In arq a shutdown costs an attempt."""
    seen: list[tuple[str, int, int]] = []
    release_unchanged = asyncio.Event()

    async def handler(context: Context[None]) -> None:
        seen.append((context.job.id, context.job.attempt, context.job.crashes))
        await release_unchanged.wait()

    worker_pool = await crews(lane(places=1), {"f": handler})
    await queue.enqueue_many("test", [NewJob("f", id=name) for name in ("a", "b", "c")])
    await eventually(lambda: len(seen) == 1, "the first one runs")
    await worker_pool.drain(grace=0.05)
    assert await _holds(queue, active=0, waiting=3)
    release_unchanged.set()
    await crews(lane(places=1), {"f": handler})
    await eventually(lambda: len(seen) == 4, "all ran")
    assert seen == [("a", 1, 0), ("a", 1, 0), ("b", 1, 0), ("c", 1, 0)]


@pytest.mark.parametrize("away", ["stopped", "hanging"])
async def test_without_redis_it_ends_in_time_as_well(crews: Crews, own_redis: Server, away: str) -> None:
    """With Redis away arq's worker never comes to its shutdown."""
    async with connect(own_redis.url) as client:
        queue = LaneQueue(client, CODEC)
        cancelled = asyncio.Event()

        async def handler(_: Context[None]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        worker_pool = await crews(lane(), {"f": handler}, url=own_redis.url, queue=queue)
        await queue.enqueue("test", "f", id="one")
        await eventually(lambda: worker_pool.stats()["test"].running == 1, "it runs")
        if away == "stopped":
            await own_redis.stop()
        else:
            own_redis.program.pause()
        start = time.monotonic()
        await worker_pool.drain(grace=0.1)
        assert time.monotonic() - start < 5
        assert cancelled.is_set()
        if away == "hanging":
            own_redis.program.resume()


async def test_a_job_that_ignores_its_cancellation_does_not_hold_the_process(crews: Crews, queue: LaneQueue) -> None:
    release_unchanged = asyncio.Event()

    async def handler(_: Context[None]) -> None:
        while not release_unchanged.is_set():
            try:
                await release_unchanged.wait()
            except asyncio.CancelledError:
                continue

    worker_pool = await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f", id="one")
    await eventually(lambda: worker_pool.stats()["test"].running == 1, "it runs")
    start = time.monotonic()
    await worker_pool.drain(grace=0)
    assert time.monotonic() - start < 5
    assert await _holds(queue, active=1), "its lease runs out, then others take it"
    release_unchanged.set()


async def test_a_job_that_is_through_stays_through_when_the_end_comes_during_its_hook(
    crews: Crews, queue: LaneQueue
) -> None:
    reached = asyncio.Event()

    async def hook(_: Finished) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def handler(_: Context[None]) -> None: ...

    worker_pool = await crews(lane(), {"f": handler}, hooks=[hook])
    await queue.enqueue("test", "f", id="one")
    await reached.wait()
    await worker_pool.drain(grace=0)
    assert await _holds(queue, active=0, waiting=0)


async def _holds(queue: LaneQueue, **expected: int) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())
