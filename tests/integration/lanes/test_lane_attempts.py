"""Which outcomes of a job use an attempt, which do not, and how long a lane waits before the next."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from pipeline_engine.errors import LeaseLost, Permanent, RateLimited, Transient, Unreachable
from pipeline_engine.lanes import (
    Backoff,
    Context,
    Dead,
    Done,
    LaneQueue,
    Outcome,
    Retry,
    Snooze,
    classify_error,
)
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually


async def test_a_job_that_takes_too_long_is_retried(crews: Crews, queue: LaneQueue) -> None:
    """In arq a time-out is the end of a job."""
    attempts: list[int] = []

    async def handler(context: Context[None]) -> None:
        attempts.append(context.job.attempt)
        if context.job.attempt == 1:
            await asyncio.Event().wait()

    await crews(lane(timeout=0.1), {"f": handler})
    await queue.enqueue("test", "f")
    await eventually(lambda: attempts == [1, 2], "the second attempt")
    await eventually(lambda: _is_empty(queue), "the lane is empty")


@pytest.mark.covers("R-16", "R-17")
@pytest.mark.parametrize(
    "raised",
    [RateLimited(retry_after=0.01), Unreachable("MongoDB is away")],
    ids=["rate limited", "server away"],
)
async def test_what_is_not_the_jobs_fault_uses_no_attempt(
    crews: Crews, queue: LaneQueue, book: Book, raised: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify_error, "UNREACHABLE_SNOOZE_SECONDS", 0.01)
    attempts: list[int] = []

    async def handler(context: Context[None]) -> None:
        attempts.append(context.job.attempt)
        if len(attempts) <= 5:
            raise raised

    await crews(lane(attempts=2), {"f": handler})
    await queue.enqueue("test", "f")
    await eventually(lambda: len(attempts) == 6, "the sixth run")
    assert set(attempts) == {1}
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert not book.letters


@pytest.mark.covers("R-17")
async def test_what_no_repeat_can_help_is_not_repeated(crews: Crews, queue: LaneQueue, book: Book) -> None:
    runs = Counter[str]()

    async def permanent(_: Context[None]) -> None:
        runs["permanent"] += 1
        raise Permanent("no such template", code="template_missing")

    async def dead(_: Context[None]) -> Outcome:
        runs["dead"] += 1
        return Dead("gave up")

    async def stale(_: Context[None]) -> None:
        runs["stale"] += 1
        raise LeaseLost("another run has it")

    await crews(lane(), {"permanent": permanent, "dead": dead, "stale": stale})
    for function in ("permanent", "dead", "stale"):
        await queue.enqueue("test", function)
    await eventually(lambda: len(book.letters) == 2, "two dead letters")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert runs == {"permanent": 1, "dead": 1, "stale": 1}
    assert {(letter.function, letter.error) for letter in book.letters} == {
        ("permanent", "no such template"),
        ("dead", "gave up"),
    }


async def test_outcomes_are_values(crews: Crews, queue: LaneQueue) -> None:
    attempts: list[int] = []
    answers: list[Outcome] = [Retry("not yet", after=0.01), Snooze(0.01), Snooze(), Done()]

    async def handler(context: Context[None]) -> Outcome:
        attempts.append(context.job.attempt)
        return answers.pop(0)

    await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f")
    await eventually(lambda: not answers, "four runs")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert attempts == [1, 2, 2, 2]


async def test_the_lane_says_how_long_to_wait_between_attempts(crews: Crews, queue: LaneQueue) -> None:
    at: list[float] = []

    async def handler(_: Context[None]) -> None:
        at.append(asyncio.get_running_loop().time())
        raise Transient("again")

    # The worker_pool looks at its lanes after half a lease: it is the wait that ends, and no look that comes by.
    await crews(lane(attempts=3, backoff=Backoff.steps(0.1, 0.3)), {"f": handler}, lease=60.0)
    await queue.enqueue("test", "f")
    await eventually(lambda: len(at) == 3, "three attempts")
    assert at[1] - at[0] >= 0.099  # Redis counts in whole milliseconds
    assert at[2] - at[1] >= 0.299


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0
