"""Many dead letters are retried at a pace, after one of them; the retry stops by itself while the cause is there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.bulk_retry import BulkResult, Pace, retry_all
from pipeline_engine.domain.events.jobs import RETRY
from pipeline_engine.lanes import Backoff, Context, Handler, Lane, WorkerPool
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually

LANE = Lane("deals.import", places=5, backoff=Backoff.fixed(0.05), attempts=2)
FAST = Pace(per_second=1000, wait=20)

Start = Callable[[str, Handler[Any]], Awaitable[None]]


@pytest.fixture
async def start(app: EngineApp) -> AsyncIterator[Start]:
    """Start a worker pool on the lane with this handler of a kind of job."""
    pools: list[WorkerPool[Any]] = []

    async def start(kind: str, handler: Handler[Any]) -> None:
        store = app.shared.job_store
        pool = WorkerPool(app.settings.redis, app.queue, [LANE], {kind: handler}, app, store)
        pools.append(pool)
        await pool.start()

    yield start
    for pool in pools:
        await pool.drain(grace=5)


async def letters_of(app: EngineApp, count: int, function: str = "import.plan") -> list[dict[str, Any]]:
    """Dead letters of the jobs j000, j001, ..., the oldest first."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    letters = [
        {
            "_id": ObjectId(),
            "lane": LANE.name,
            "job_id": f"j{number:03}",
            "function": function,
            "args": [f"j{number:03}"],
            "kwargs": {},
            "error": "it failed",
            "last_failed_at": long_ago + timedelta(seconds=number),
            "status": "dead",
        }
        for number in range(count)
    ]
    await app.database["dead_letters"].insert_many(letters)
    return letters


async def dead(app: EngineApp) -> Counter[str]:
    return Counter(one["job_id"] for one in await app.shared.job_store.letters("dead"))


@pytest.mark.covers("CL-09")
async def test_when_the_cause_is_gone_each_runs_once_under_its_own_id(app: EngineApp, start: Start) -> None:
    ran = Counter[str]()

    async def works(context: Context[Any], _id: str) -> None:
        ran[context.job.id] += 1

    await start("import.plan", works)
    letters = await letters_of(app, 120)
    assert await retry_all(app, letters, FAST) == BulkResult(120, 0)
    await eventually(lambda: sum(ran.values()) == 120, "all ran")
    assert ran == Counter({letter["job_id"]: 1 for letter in letters})
    assert await dead(app) == Counter()


@pytest.mark.covers("CL-09")
async def test_it_stops_after_the_canary_while_the_cause_is_there(app: EngineApp, start: Start) -> None:
    ran = Counter[str]()

    async def fails(context: Context[Any], _id: str) -> None:
        ran[context.job.id] += 1
        raise ConnectionError

    await start("import.plan", fails)
    letters = await letters_of(app, 60)
    assert await retry_all(app, letters, FAST) == BulkResult(1, 59, "it failed again")
    await eventually(lambda: _died(app, "j000"), "the canary is dead again")
    assert ran == {"j000": 2}, "the canary dies again as its lane says, and no other job has run"
    assert await dead(app) == Counter({letter["job_id"]: 1 for letter in letters})


@pytest.mark.covers("CL-09")
async def test_it_stops_when_more_than_half_of_the_first_fifty_fail_again(app: EngineApp, start: Start) -> None:
    async def mostly_fails(context: Context[Any], _id: str) -> None:
        if context.job.id > "j024":  # 26 of j001 to j050
            raise ConnectionError

    await start("import.plan", mostly_fails)
    letters = await letters_of(app, 70)
    assert await retry_all(app, letters, FAST) == BulkResult(51, 19, "26 of 50 failed again")


async def test_half_of_them_is_not_more_than_half(app: EngineApp, start: Start) -> None:
    async def half_fails(context: Context[Any], _id: str) -> None:
        if "j025" < context.job.id <= "j050":
            raise ConnectionError

    await start("import.plan", half_fails)
    assert await retry_all(app, await letters_of(app, 70), FAST) == BulkResult(70, 0)


@pytest.mark.parametrize(
    ("status", "result"), [("done", BulkResult(2, 0)), ("dead", BulkResult(1, 1, "it failed again"))]
)
async def test_a_retried_event_counts_by_what_became_of_it(
    app: EngineApp, start: Start, status: str, result: BulkResult
) -> None:
    events = app.database["crm_events"]

    async def revive(_: Context[Any], id: str) -> None:
        await events.update_one({"_id": id}, {"$set": {"status": status}})

    await start(RETRY.name, revive)
    letters = await letters_of(app, 2, RETRY.name)
    await events.insert_many([{"_id": letter["job_id"], "status": "new"} for letter in letters])
    assert await retry_all(app, letters, FAST) == result


async def test_jobs_go_back_at_the_pace_asked_for(app: EngineApp) -> None:
    letters = await letters_of(app, 9)
    begun = time.monotonic()
    assert await retry_all(app, letters, Pace(per_second=20, checks=False)) == BulkResult(9, 0)
    assert 0.4 <= time.monotonic() - begun < 30


async def test_one_that_was_settled_meanwhile_is_passed_over(app: EngineApp) -> None:
    letters = await letters_of(app, 3)
    await app.shared.job_store.mark(letters[1]["_id"], "discarded")
    assert await retry_all(app, letters, Pace(1000, checks=False)) == BulkResult(2, 0)
    assert (await app.queue.counts([LANE.name]))[LANE.name].waiting == 2


async def _died(app: EngineApp, job_id: str) -> bool:
    return (await dead(app))[job_id] == 1
