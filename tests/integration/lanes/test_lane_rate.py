"""A lane's rate holds over all daemons."""

from __future__ import annotations

import time

import pytest

from pipeline_engine.lanes import Context, LaneQueue, NewJob, Rate
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import lane
from tests.support.eventually import eventually


@pytest.mark.covers("CL-04", "R-16")
async def test_no_window_holds_more_starts_than_the_rate_allows(crews: Crews, queue: LaneQueue) -> None:
    starts: list[float] = []

    async def handler(_: Context[None]) -> None:
        starts.append(time.monotonic())

    rate = Rate(jobs=5, seconds=0.4)
    await queue.enqueue_many("test", [NewJob("f") for _ in range(22)])
    for _ in range(2):
        await crews(lane(places=10, rate=rate), {"f": handler})
    await eventually(lambda: len(starts) == 22, "all ran")
    # The claim is what is limited; a job starts a moment after its claim.
    tolerance = 0.05
    assert all(later - start > rate.seconds - tolerance for start, later in zip(starts, starts[5:], strict=False))
    assert starts[-1] - starts[0] < 4 * rate.seconds + 0.5, "and it is used up"


async def test_a_limited_lane_holds_no_place_and_spins_not(crews: Crews, queue: LaneQueue) -> None:
    ran: list[int] = []

    async def handler(_: Context[None], number: int) -> None:
        ran.append(number)

    worker_pool = await crews(lane(places=3, rate=Rate(jobs=1, seconds=60)), {"f": handler})
    await queue.enqueue_many("test", [NewJob("f", (i,)) for i in range(3)])
    await eventually(lambda: ran == [0], "one ran")
    assert worker_pool.stats()["test"].running == 0
    assert (await queue.counts(["test"]))["test"].waiting == 2
