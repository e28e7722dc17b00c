"""What becomes of an id that is enqueued again: skip, debounce, latest. And of a job that is cancelled."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import Context, Duplicates, JobKind, LaneQueue
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually


class Reader:
    """A handler that notes what it was given and, when asked to, waits in the middle."""

    def __init__(self, *, waits: bool = False) -> None:
        self.read: list[str] = []
        self.attempts: list[int] = []
        self.times: list[float] = []
        self.go_on = asyncio.Event()
        if not waits:
            self.go_on.set()

    async def run(self, context: Context[None], word: str) -> None:
        self.read.append(word)
        self.attempts.append(context.job.attempt)
        self.times.append(time.monotonic())
        await self.go_on.wait()


@pytest.mark.covers("CL-13")
@pytest.mark.parametrize(("duplicates", "runs"), [("skip", "first"), ("debounce", "third"), ("latest", "third")])
async def test_of_those_that_wait_one_runs(crews: Crews, queue: LaneQueue, duplicates: Duplicates, runs: str) -> None:
    reader = Reader()
    new = [
        await queue.enqueue("test", "f", word, id="x", delay=0.05, duplicates=duplicates)
        for word in ("first", "second", "third")
    ]
    await crews(lane(), {"f": reader.run})
    await eventually(lambda: _is_empty(queue), "it ran")
    assert (new, reader.read) == ([True, False, False], [runs])


async def test_debounce_begins_the_delay_anew_and_latest_does_not(crews: Crews, queue: LaneQueue) -> None:
    reader = Reader()
    start = time.monotonic()
    for id, duplicates in (("quiet", "debounce"), ("due", "latest")):
        await queue.enqueue("test", "f", "old", id=id, delay=0.1)
        await queue.enqueue("test", "f", id, id=id, delay=4, duplicates=duplicates)  # type: ignore[arg-type]
    await crews(lane(), {"f": reader.run})
    await eventually(lambda: len(reader.read) == 2, "both ran")
    due, quiet = (at - start for at in reader.times)
    assert reader.read == ["due", "quiet"]
    assert 0.1 <= due < 4 <= quiet


@pytest.mark.parametrize("duplicates", ["debounce", "latest"])
async def test_the_newest_of_those_that_come_during_a_run_follows_it(
    crews: Crews, queue: LaneQueue, redis: Redis, duplicates: Duplicates
) -> None:
    reader = Reader(waits=True)
    await crews(lane(), {"f": reader.run})
    await queue.enqueue("test", "f", "first", id="x")
    await eventually(lambda: reader.read == ["first"], "it runs")
    new = [await queue.enqueue("test", "f", word, id="x", duplicates=duplicates) for word in ("second", "third")]
    assert reader.read == ["first"], "never two runs of one id at a time"
    reader.go_on.set()
    await eventually(lambda: len(reader.read) == 2, "the newest follows")
    await eventually(lambda: _is_empty(queue), "all ended")
    assert (new, reader.read) == ([True, False], ["first", "third"])
    assert [key async for key in redis.scan_iter(f"{queue.keys.stem('test')}[nlps]*") if b"minutes" not in key] == []


@pytest.mark.covers("CL-13")
async def test_a_wake_up_that_comes_while_jobs_of_the_unit_end_is_not_lost(crews: Crews, queue: LaneQueue) -> None:
    reader, kind = Reader(waits=True), JobKind("f", lane(), str)
    await crews(lane(), {"f": reader.run})
    for runs in (1, 2):  # the unit's own job, and the one that follows it
        await kind.wake(queue, "x")
        await eventually(lambda runs=runs: len(reader.read) == runs, "it runs")  # type: ignore[misc]
    await kind.wake(queue, "x")
    reader.go_on.set()
    await eventually(lambda: len(reader.read) == 3, "another follows")
    await eventually(lambda: _is_empty(queue), "all ended")
    assert reader.read == ["x"] * 3


async def test_kinds_of_one_lane_take_no_wake_up_from_each_other(crews: Crews, queue: LaneQueue) -> None:
    """Jobs of two kinds may be about the same unit, and then have the same id."""
    one, other = Reader(waits=True), Reader()
    kinds = JobKind("f", lane(), str), JobKind("g", lane(), str)
    await crews(lane(), {"f": one.run, "g": other.run})
    await kinds[0].wake(queue, "x")
    await eventually(lambda: one.read == ["x"], "it runs")
    await kinds[1].wake(queue, "x")
    await kinds[0].wake(queue, "x")
    one.go_on.set()
    await eventually(lambda: len(one.read) == 2 and other.read == ["x"], "both follow")
    await eventually(lambda: _is_empty(queue), "all ended")


async def test_the_newest_takes_the_place_of_an_attempt_that_failed_and_starts_with_none(
    crews: Crews, queue: LaneQueue, book: Book
) -> None:
    reader = Reader(waits=True)

    async def handler(context: Context[None], word: str) -> None:
        await reader.run(context, word)
        if word == "bad":
            raise ValueError(word)

    await crews(lane(attempts=2), {"f": handler})
    await queue.enqueue("test", "f", "bad", id="x")
    await eventually(lambda: reader.read == ["bad"], "it runs")
    await queue.enqueue("test", "f", "good", id="x", duplicates="latest")
    reader.go_on.set()
    await eventually(lambda: _is_empty(queue), "all ended")
    assert (reader.read, reader.attempts, book.letters) == (["bad", "good"], [1, 1], [])


async def test_the_newest_keeps_its_own_delay_and_priority(crews: Crews, queue: LaneQueue) -> None:
    reader = Reader(waits=True)
    await crews(lane(places=1), {"f": reader.run})
    await queue.enqueue("test", "f", "first", id="x")
    await eventually(lambda: reader.read == ["first"], "it runs")
    start = time.monotonic()
    await queue.enqueue("test", "f", "later", id="x", delay=0.3, duplicates="debounce")
    reader.go_on.set()
    await eventually(lambda: len(reader.read) == 2, "the newest follows")
    assert reader.times[1] - start >= 0.299  # Redis counts in whole milliseconds

    reader.go_on.clear()
    await queue.enqueue("test", "f", "first", id="y")
    await eventually(lambda: len(reader.read) == 3, "it runs")
    await queue.enqueue("test", "f", "normal")
    await queue.enqueue("test", "f", "high", id="y", priority="high", duplicates="latest")
    reader.go_on.set()
    await eventually(lambda: _is_empty(queue), "all ended")
    assert reader.read[3:] == ["high", "normal"]


@pytest.mark.covers("CL-13")
async def test_a_job_is_cancelled_while_it_waits_and_not_while_it_runs(crews: Crews, queue: LaneQueue) -> None:
    reader = Reader(waits=True)
    for delay in (0, 60):
        await queue.enqueue("test", "f", "never", id="x", delay=delay)
        assert await queue.cancel("test", "x")
        assert not await queue.cancel("test", "x"), "it is gone"
    assert await _is_empty(queue)

    await crews(lane(), {"f": reader.run})
    await queue.enqueue("test", "f", "runs", id="x")
    await eventually(lambda: reader.read == ["runs"], "it runs")
    assert not await queue.cancel("test", "x")
    await queue.enqueue("test", "f", "newer", id="x", duplicates="latest")
    assert await queue.cancel("test", "x"), "the one that waits for its end"
    reader.go_on.set()
    await eventually(lambda: _is_empty(queue), "it ended")
    assert reader.read == ["runs"]


async def test_a_parked_job_is_cancelled_too(crews: Crews, queue: LaneQueue) -> None:
    await crews(lane(), {})
    await queue.enqueue("test", "of a newer engine", id="x")
    await eventually(lambda: _parked(queue), "it is parked")
    assert await queue.cancel("test", "x")
    assert await _is_empty(queue)


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _parked(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].parked == 1
