"""Answers of Redis that get lost, and rings that are missed: no job is lost, and none runs again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.lanes import Context, FlowJob, LaneQueue, NewJob, chain, connect, connection
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually
from tests.support.proxy import Fault, Proxy

MAX_RECOVERY_SECONDS = 15.0  # seconds within which work must go on


class Ran:
    """A handler that notes what it ran, and can hold its jobs."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, context: Context[None]) -> None:
        self.jobs.append((context.job.id, context.job.crashes))
        await self.open.wait()


@pytest.fixture
def ran() -> Ran:
    return Ran()


@pytest.fixture
async def own(own_redis: Server) -> AsyncIterator[Redis]:
    async with connect(own_redis.url) as client:
        yield client


async def test_claims_whose_answer_got_lost_go_back_at_once_and_are_no_crash(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    """The lease here is a minute, so it is not the lease that brings the jobs back."""
    queue = LaneQueue(own, CODEC)
    async with Proxy.before(own_redis.url) as proxy:
        await crews(lane(places=3), {"f": ran}, url=proxy.instead_of(own_redis.url), queue=queue, lease=60.0)
        await queue.enqueue("test", "f", id="warm")
        await eventually(lambda: ran.jobs == [("warm", 0)] and proxy.accepted >= 2, "all connections are open")
        await eventually(lambda: _is_empty(queue), "it is settled")
        await eventually(lambda: _is_counted(queue), "its history is written, so the next call is the worker's")
        proxy.set(Fault(cut_after=0))
        await queue.enqueue_many("test", [NewJob("f", id=name) for name in ("a", "b", "c")])
        await eventually(lambda: _holds(queue, active=3), "they are claimed, and the answer is lost")
        proxy.heal()
        await eventually(lambda: len(ran.jobs) == 4, "they run", timeout=MAX_RECOVERY_SECONDS)
        await eventually(lambda: _is_empty(queue), "they ended")
    assert sorted(ran.jobs) == [("a", 0), ("b", 0), ("c", 0), ("warm", 0)]


async def test_finished_jobs_whose_answer_got_lost_are_settled_and_do_not_run_again(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    queue = LaneQueue(own, CODEC)
    ran.open.clear()
    async with Proxy.before(own_redis.url) as proxy:
        await crews(lane(), {"f": ran}, url=proxy.instead_of(own_redis.url), queue=queue, lease=60.0)
        await queue.enqueue_many("test", [NewJob("f", id=name) for name in ("a", "b")])
        await eventually(lambda: len(ran.jobs) == 2, "they run")
        proxy.set(Fault(cut_after=0))
        cuts = proxy.cuts
        ran.open.set()
        await eventually(lambda: proxy.cuts > cuts + 1, "the worker asked twice")
        proxy.heal()
        await eventually(lambda: _is_empty(queue), "they ended", timeout=MAX_RECOVERY_SECONDS)
    assert sorted(ran.jobs) == [("a", 0), ("b", 0)]


async def test_the_next_job_of_a_chain_starts_once_though_the_answer_got_lost(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    queue = LaneQueue(own, CODEC)
    ran.open.clear()
    async with Proxy.before(own_redis.url) as proxy:
        await crews(lane(), {"f": ran}, url=proxy.instead_of(own_redis.url), queue=queue, lease=60.0)
        await chain(queue, [FlowJob("test", NewJob("f", id=name)) for name in ("a", "b", "c")])
        await eventually(lambda: len(ran.jobs) == 1, "the first runs")
        proxy.set(Fault(cut_after=0))
        cuts = proxy.cuts
        ran.open.set()
        await eventually(lambda: proxy.cuts > cuts + 1, "the worker asked twice")
        proxy.heal()
        await eventually(lambda: _is_empty(queue), "they ended", timeout=MAX_RECOVERY_SECONDS)
    assert ran.jobs == [("a", 0), ("b", 0), ("c", 0)]


async def test_jobs_that_end_while_redis_is_away_are_settled_when_it_returns(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    queue = LaneQueue(own, CODEC)
    ran.open.clear()
    async with Proxy.before(own_redis.url) as proxy:
        worker_pool = await crews(lane(), {"f": ran}, url=proxy.instead_of(own_redis.url), queue=queue, lease=60.0)
        await queue.enqueue_many("test", [NewJob("f", id=name) for name in ("a", "b")])
        await eventually(lambda: len(ran.jobs) == 2, "they run")
        await proxy.refuse()
        ran.open.set()
        await eventually(
            lambda: worker_pool.degraded and worker_pool.stats()["test"].running == 0,
            "they ended, and Redis does not know",
        )
        ended = time.monotonic()
        await eventually(lambda: time.monotonic() > ended + 0.3, "the worker has tried to say so")
        await proxy.accept()
        await eventually(lambda: _is_empty(queue), "they are settled", timeout=MAX_RECOVERY_SECONDS)
    assert sorted(ran.jobs) == [("a", 0), ("b", 0)]


async def test_rings_that_were_missed_are_made_up_for(crews: Crews, own_redis: Server, own: Redis, ran: Ran) -> None:
    """This worker_pool looks every five minutes only, and the job comes while its doorbell is off."""
    queue, other = LaneQueue(own, CODEC), LaneQueue(own, CODEC)
    async with Proxy.before(own_redis.url) as proxy:
        await crews(lane(), {"f": ran}, url=proxy.instead_of(own_redis.url), queue=queue)
        await eventually(lambda: _listened_to(own, queue), "the doorbell is connected")
        await other.enqueue("test", "f", id="heard")
        await eventually(lambda: ran.jobs == [("heard", 0)], "it ran")
        await eventually(lambda: _is_empty(queue), "the worker sleeps")
        await proxy.refuse()
        await eventually(lambda: _is_deaf(own, queue), "no client listens")
        await other.enqueue("test", "f", id="missed")
        await proxy.accept()
        await eventually(lambda: ran.jobs == [("heard", 0), ("missed", 0)], "it ran", timeout=MAX_RECOVERY_SECONDS)


async def test_a_quiet_doorbell_stays_connected(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pub/sub on a pool with a read time-out dies whenever nothing is said for that long."""
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 0.2)
    queue, other = LaneQueue(own, CODEC), LaneQueue(own, CODEC)
    await crews(lane(), {"f": ran}, url=own_redis.url, queue=queue)
    await eventually(lambda: _listened_to(own, queue), "the doorbell is connected")

    async def quiet_for_five_time_outs() -> bool:
        (bell,) = await own.client_list(_type="pubsub")
        return int(bell["idle"]) >= 1

    (before,) = await own.client_list(_type="pubsub")
    await eventually(quiet_for_five_time_outs, "nothing was said for a while")
    (after,) = await own.client_list(_type="pubsub")
    assert before["id"] == after["id"]
    await other.enqueue("test", "f", id="one")
    await eventually(lambda: ran.jobs == [("one", 0)], "it was heard")


async def _listened_to(redis: Redis, queue: LaneQueue) -> bool:
    ((_, listeners),) = await redis.pubsub_numsub(queue.keys.doorbell)
    return bool(listeners)


async def _is_deaf(redis: Redis, queue: LaneQueue) -> bool:
    return not await _listened_to(redis, queue)


async def _holds(queue: LaneQueue, **expected: int) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _is_counted(queue: LaneQueue) -> bool:
    return bool(await queue.minutes("test"))
