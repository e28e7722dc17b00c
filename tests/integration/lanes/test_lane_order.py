"""In which order the jobs of a lane start."""

from __future__ import annotations

import asyncio
from collections import Counter

from pipeline_engine.lanes import Context, LaneQueue, NewJob, Priority
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import lane
from tests.support.eventually import eventually

PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high")


async def test_jobs_start_in_the_order_in_which_they_were_put_in(crews: Crews, queue: LaneQueue) -> None:
    order: list[int] = []

    async def handler(_: Context[None], number: int) -> None:
        order.append(number)

    await queue.enqueue_many("test", [NewJob("f", (i,)) for i in range(600)])
    await queue.enqueue("test", "f", 600)
    await crews(lane(places=7), {"f": handler})
    await eventually(lambda: len(order) == 601, "all ran")
    assert order == list(range(601))


async def test_priorities_share_eight_to_four_to_one(crews: Crews, queue: LaneQueue) -> None:
    """arq has no priorities; strict ones would starve the low jobs."""
    order: list[str] = []

    async def handler(_: Context[None], name: str) -> None:
        order.append(name)

    for name in PRIORITIES:
        await queue.enqueue_many("test", [NewJob("f", (name,)) for _ in range(100)], priority=name)
    await crews(lane(places=1), {"f": handler})
    await eventually(lambda: len(order) == 300, "all ran")
    assert Counter(order[:13]) == {"high": 8, "normal": 4, "low": 1}
    assert Counter(order[:130]) == {"high": 80, "normal": 40, "low": 10}


async def test_a_priority_outlives_delay_and_retry(crews: Crews, queue: LaneQueue) -> None:
    order: list[str] = []

    async def handler(context: Context[None]) -> None:
        order.append(context.job.id)

    await queue.enqueue("test", "f", id="late but high", priority="high", delay=0.02)
    await queue.pause("test")
    await queue.enqueue_many("test", [NewJob("f", id=f"n{i}") for i in range(5)])
    await crews(lane(places=1), {"f": handler})
    await eventually(lambda: _holds(queue, waiting=6), "the delayed job is due")
    await queue.resume("test")
    await eventually(lambda: len(order) == 6, "all ran")
    assert order[0] == "late but high"


async def test_long_jobs_do_not_hide_waiting_ones(crews: Crews, queue: LaneQueue) -> None:
    """arq leaves running jobs in its queue and reads only the first so many: enough long ones hide the rest."""
    release_unchanged, seen = asyncio.Event(), Counter[str]()

    async def long(_: Context[None]) -> None:
        seen["long"] += 1
        await release_unchanged.wait()

    async def short(_: Context[None]) -> None:
        seen["short"] += 1

    await queue.enqueue_many("test", [NewJob("long") for _ in range(150)] + [NewJob("short") for _ in range(50)])
    await crews(lane(places=151), {"long": long, "short": short})
    await eventually(lambda: seen == {"long": 150, "short": 50}, "the one place left does all short jobs")
    release_unchanged.set()


async def _holds(queue: LaneQueue, **expected: int | bool) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())
