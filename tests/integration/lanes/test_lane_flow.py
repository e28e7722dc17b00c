"""Chains, groups and progress."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import Context, FlowJob, LaneQueue, NewJob, Progress, chain, group
from pipeline_engine.lanes.lane import Lane
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import SOON, Book, lane
from tests.support.eventually import eventually

OTHER = Lane("other", 2, SOON)


class Runs:
    """Notes the ids of the jobs that ran, in order of their ends; those named in `bad` fail for good."""

    def __init__(self, *bad: str) -> None:
        self.ended: list[str] = []
        self.bad = set(bad)

    async def run(self, context: Context[None]) -> None:
        if context.job.id in self.bad:
            raise Permanent("bad")
        await asyncio.sleep(0.01)
        self.ended.append(context.job.id)


def step(id: str, lane: str = "test") -> FlowJob:
    return FlowJob(lane, NewJob("f", id=id))


@pytest.mark.covers("CL-13")
async def test_a_chain_runs_in_order_over_several_lanes(crews: Crews, queue: LaneQueue, redis: Redis) -> None:
    runs = Runs()
    for one in (lane(), OTHER):
        await crews(one, {"f": runs.run})
    steps = [step(f"{i:03}", "other" if i % 3 else "test") for i in range(30)]
    assert await chain(queue, steps)
    await eventually(lambda: len(runs.ended) == 30, "all ran")
    assert runs.ended == sorted(runs.ended)
    await eventually(lambda: _nothing_left(redis, queue), "nothing is left behind")


async def test_a_chain_waits_for_an_attempt_that_failed(crews: Crews, queue: LaneQueue) -> None:
    order: list[str] = []

    async def handler(context: Context[None]) -> None:
        order.append(context.job.id)
        if context.job.attempt < 3:
            raise ConnectionError

    await crews(lane(attempts=3), {"f": handler})
    await chain(queue, [step("a"), step("b")])
    await eventually(lambda: len(order) == 6, "both ended")
    assert order == ["a"] * 3 + ["b"] * 3


async def test_a_dead_job_holds_its_chain_until_it_is_retried_or_given_up(
    crews: Crews, queue: LaneQueue, book: Book, redis: Redis
) -> None:
    runs = Runs("a", "x")
    await crews(lane(), {"f": runs.run})
    await chain(queue, [step("a"), step("b")])
    await chain(queue, [step("x"), step("y")])
    await eventually(lambda: len(book.letters) == 2, "both are dead")
    assert runs.ended == []

    runs.bad.clear()
    # The letter is stored before the lane has settled its job, whose id cannot be enqueued until then.
    await eventually(lambda: queue.enqueue("test", "f", id="a"), "the job is enqueued again")
    await eventually(lambda: runs.ended == ["a", "b"], "the chain goes on")
    await queue.abandon("test", "x")
    await eventually(lambda: queue.enqueue("test", "f", id="x"), "the job is enqueued again")
    await eventually(lambda: runs.ended == ["a", "b", "x"], "it runs alone")
    await eventually(lambda: _nothing_left(redis, queue), "nothing is left behind")
    assert runs.ended == ["a", "b", "x"]


async def test_a_cancelled_job_takes_its_chain_along(crews: Crews, queue: LaneQueue) -> None:
    runs = Runs()
    await chain(queue, [step("a"), step("b")])
    assert await queue.cancel("test", "a")
    await crews(lane(), {"f": runs.run})
    await queue.enqueue("test", "f", id="a")
    await queue.enqueue("test", "f", id="last", delay=0.05)
    await eventually(lambda: "last" in runs.ended, "the lane goes on")
    assert runs.ended == ["a", "last"]


async def test_a_chain_follows_a_job_that_is_there_already(crews: Crews, queue: LaneQueue) -> None:
    runs = Runs()
    await queue.enqueue("test", "f", id="a")
    assert not await chain(queue, [step("a"), step("b")])
    assert not await chain(queue, [step("a"), step("c")])
    await crews(lane(), {"f": runs.run})
    await eventually(lambda: len(runs.ended) == 3, "all ran")
    assert (runs.ended[0], set(runs.ended[1:])) == ("a", {"b", "c"})


@pytest.mark.covers("CL-13")
async def test_the_final_job_of_a_group_starts_when_all_have_ended(
    crews: Crews, queue: LaneQueue, redis: Redis
) -> None:
    runs = Runs()
    for _ in range(2):
        await crews(lane(places=50), {"f": runs.run})
    members = [step(f"m{i}") for i in range(1200)]  # more than one call to Redis
    assert await group(queue, members, final=step("final")) == 1200
    await eventually(lambda: "final" in runs.ended, "it ran")
    assert (runs.ended[-1], len(runs.ended)) == ("final", 1201)
    await eventually(lambda: _nothing_left(redis, queue), "nothing is left behind")


async def test_a_group_without_members_is_its_final_job(crews: Crews, queue: LaneQueue) -> None:
    runs = Runs()
    await crews(lane(), {"f": runs.run})
    assert await group(queue, [], final=step("final")) == 0
    await eventually(lambda: runs.ended == ["final"], "it ran")
    with pytest.raises(ValueError, match="needs an id"):
        await group(queue, [], final=FlowJob("test", NewJob("f")))


async def test_a_group_waits_for_a_dead_member_and_not_for_a_cancelled_one(
    crews: Crews, queue: LaneQueue, book: Book
) -> None:
    runs = Runs("dead", "given up")
    await group(queue, [step(id) for id in ("a", "dead", "given up", "cancelled")], final=step("final"))
    await queue.cancel("test", "cancelled")
    await crews(lane(), {"f": runs.run})
    await eventually(lambda: len(book.letters) == 2, "two are dead")
    await queue.abandon("test", "given up")
    await eventually(lambda: _is_empty(queue), "nothing waits in the lane")
    assert runs.ended == ["a"]

    runs.bad.clear()
    await queue.enqueue("test", "f", id="dead")
    await eventually(lambda: runs.ended == ["a", "dead", "final"], "the last one has ended")


async def test_links_that_others_wrote_harm_no_job(crews: Crews, queue: LaneQueue, redis: Redis) -> None:
    runs = Runs()
    stem = queue.keys.stem("test")
    await redis.set(f"{queue.keys.prefix}text", "no hash")
    forged = [b"\xc1 no msgpack", b"\x07", b"\x91\x07", b"\x91\x81\xa5group\x07", b"\x91\x81\xa5steps\x91\x07"]
    for i, link in enumerate(forged):
        await redis.hset(f"{stem}links", f"j{i}", link)  # type: ignore[misc, arg-type]
        await redis.hset(f"{stem}next", f"j{i}", link)  # type: ignore[misc, arg-type]
    await crews(lane(), {"f": runs.run})
    await queue.enqueue_many("test", [NewJob("f", id=f"j{i}") for i in range(len(forged) + 1)])
    await eventually(lambda: len(runs.ended) == len(forged) + 1, "all ran")
    await eventually(lambda: _is_empty(queue), "all are settled")


@pytest.mark.covers("CL-13")
async def test_the_progress_of_a_long_job_is_read_while_it_runs(crews: Crews, queue: LaneQueue) -> None:
    go_on = asyncio.Event()

    async def handler(context: Context[None]) -> None:
        for done in range(301):
            context.progress(done, 1000)
        await go_on.wait()

    await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f", id="long")
    found = await eventually(lambda: queue.progress("test", "long"), "its progress is known")
    assert found == Progress(300, 1000)
    go_on.set()
    await eventually(lambda: _is_empty(queue), "it ended")
    assert await queue.progress("test", "long") is None


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _nothing_left(redis: Redis, queue: LaneQueue) -> bool:
    keys = [key async for key in redis.scan_iter(f"{queue.keys.prefix}*")]
    return all(b":minutes:" in key for key in keys)
