"""A lane's rate holds over all daemons."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline_engine.lanes import Context, LaneQueue, NewJob, Rate, worker
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import lane
from tests.support.eventually import eventually

DRIFT = 0.001
"""Seconds by which this process' clock and the server's may differ over a window."""


class Claims:
    """Asks Redis as the workers do, and notes (asked, answered, jobs claimed) of each claim."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self.made: list[tuple[float, float, int]] = []
        self._step = step

    async def __call__(self, *question: Any) -> Any:
        asked = time.monotonic()
        reply = await self._step(*question)
        if jobs := reply[3]:
            self.made.append((asked, time.monotonic(), len(jobs)))
        return reply


@pytest.mark.covers("CL-04", "R-16")
async def test_no_window_holds_more_starts_than_the_rate_allows(
    crews: Crews, queue: LaneQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim's server time lies between its call and its answer, so claims between two readings are in one window."""
    claims, ran, window = Claims(worker._step), list[str](), 0.4
    monkeypatch.setattr(worker, "_step", claims)

    async def handler(context: Context[None]) -> None:
        ran.append(context.job.id)

    await queue.enqueue_many("test", [NewJob("f") for _ in range(22)])
    for _ in range(2):
        await crews(lane(places=10, rate=Rate(jobs=5, seconds=window)), {"f": handler})
    await eventually(lambda: len(ran) == 22, "all ran")
    for begin, _, _ in claims.made:
        end = begin + window - DRIFT
        assert sum(jobs for asked, answered, jobs in claims.made if asked >= begin and answered < end) <= 5
    assert sorted(jobs for *_, jobs in claims.made) == [2, 5, 5, 5, 5], "and it is used up"


async def test_a_limited_lane_holds_no_place_and_spins_not(crews: Crews, queue: LaneQueue) -> None:
    ran: list[int] = []

    async def handler(_: Context[None], number: int) -> None:
        ran.append(number)

    worker_pool = await crews(lane(places=3, rate=Rate(jobs=1, seconds=60)), {"f": handler})
    await queue.enqueue_many("test", [NewJob("f", (i,)) for i in range(3)])
    await eventually(lambda: ran == [0], "one ran")
    assert worker_pool.stats()["test"].running == 0
    assert (await queue.counts(["test"]))["test"].waiting == 2
