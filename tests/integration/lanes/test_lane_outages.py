"""Redis stops, hangs, is emptied, is full, loses answers: no worker_pool ends, no job is lost, none runs twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Context, LaneQueue, NewJob, connect, connection
from pipeline_engine.lanes.redis_health import RedisHealth
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.said import Said

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


@pytest.fixture
def own_queue(own: Redis) -> LaneQueue:
    return LaneQueue(own, CODEC)


async def test_work_goes_on_when_a_stopped_redis_returns(
    crews: Crews, own_redis: Server, own_queue: LaneQueue, ran: Ran
) -> None:
    """A lost Redis ends arq's worker."""
    worker_pool = await crews(lane(), {"f": ran}, url=own_redis.url, queue=own_queue, look_every=0.2)
    await own_queue.enqueue("test", "f", id="before")
    await own_queue.enqueue("test", "f", id="later", delay=1.0)
    await eventually(lambda: ran.jobs == [("before", 0)], "it ran before")
    await own_redis.stop()
    await eventually(lambda: worker_pool.degraded, "the worker_pool is degraded")
    with pytest.raises(Unreachable, match="REDIS_URL"):
        await own_queue.enqueue("test", "f")
    await own_redis.start()
    back = time.monotonic()
    await eventually(lambda: ("later", 0) in ran.jobs, "what was delayed meanwhile runs")
    await eventually(lambda: not worker_pool.degraded, "the worker_pool is well again")
    assert time.monotonic() - back < MAX_RECOVERY_SECONDS
    await own_queue.enqueue("test", "f", id="after")
    await eventually(lambda: ("after", 0) in ran.jobs, "it ran after")


async def test_a_crew_starts_without_redis_and_works_when_it_comes(
    crews: Crews, own_redis: Server, own_queue: LaneQueue, ran: Ran
) -> None:
    await own_queue.enqueue("test", "f", id="one")
    await own_redis.stop()
    worker_pool = await crews(lane(), {"f": ran}, url=own_redis.url, queue=own_queue)
    await eventually(lambda: worker_pool.degraded, "the worker_pool is degraded")
    await own_redis.start()
    await eventually(lambda: ran.jobs == [("one", 0)], "it ran", timeout=MAX_RECOVERY_SECONDS)


async def test_a_hanging_redis_freezes_nothing_and_no_running_job_loses_its_lease_by_it(
    crews: Crews, own_redis: Server, own_queue: LaneQueue, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq has no time-out on its connection: it waits for ever."""
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 0.3)
    ran.open.clear()
    lease = 0.9
    two = [
        await crews(lane(), {"f": ran}, url=own_redis.url, queue=own_queue, look_every=0.1, lease=lease)
        for _ in range(2)
    ]
    await own_queue.enqueue("test", "f", id="long")
    await eventually(lambda: ran.jobs == [("long", 0)], "it runs")
    own_redis.program.pause()
    hangs = time.monotonic()
    await eventually(lambda: all(worker_pool.degraded for worker_pool in two), "both crews are degraded")
    await eventually(lambda: time.monotonic() > hangs + 2 * lease, "the lease is over")
    own_redis.program.resume()
    back = time.monotonic()
    await eventually(lambda: not any(worker_pool.degraded for worker_pool in two), "both crews are well again")
    assert time.monotonic() - back < MAX_RECOVERY_SECONDS
    await eventually(lambda: time.monotonic() > back + 2 * lease, "there was time to take it for dead")
    ran.open.set()
    await eventually(lambda: _is_empty(own_queue), "it ended")
    assert ran.jobs == [("long", 0)]


async def test_every_loop_gives_up_its_call_to_a_hanging_redis_in_time(
    crews: Crews, own_redis: Server, own_queue: LaneQueue, ran: Ran, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py limits each answer, not the call; the doorbell's connection has no limit of its own at all."""
    monkeypatch.setattr(connection, "CALL_TIMEOUT", 0.5)
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 60.0)
    failed: set[str] = set()
    monkeypatch.setattr(RedisHealth, "failed", lambda _health, loop, _error: failed.add(loop))
    held = Ran()
    for handler in (ran, held):
        handler.open.clear()
    async with Proxy.before(own_redis.url) as proxy:
        url = proxy.instead_of(own_redis.url)
        await crews(lane(), {"f": ran, "g": held}, url=url, queue=own_queue, look_every=0.1, lease=0.9)
        await own_queue.enqueue("test", "f", id="ends while Redis hangs")
        await own_queue.enqueue("test", "g", id="has a lease to renew")
        await eventually(lambda: len(ran.jobs + held.jobs) == 2, "both run")
        own_redis.program.pause()
        hangs = time.monotonic()
        await proxy.cut()  # every loop needs a new connection
        ran.open.set()
        await eventually(lambda: failed == {"lane test", "leases", "look", "doorbell"}, "four loops gave up")
        await eventually(lambda: "minutes.write_failed" in said(), "the history gave up")
        assert time.monotonic() - hangs < connection.ANSWER_TIMEOUT
        own_redis.program.resume()
        held.open.set()


async def test_an_emptied_redis_costs_no_second_run(crews: Crews, own_redis: Server, own: Redis, ran: Ran) -> None:
    """The sweep brings the job again while it still runs: the run goes on under the new claim."""
    queue = LaneQueue(own, CODEC)
    ran.open.clear()
    await crews(lane(), {"f": ran}, url=own_redis.url, queue=queue)
    await queue.enqueue("test", "f", id="one")
    await eventually(lambda: ran.jobs == [("one", 0)], "it runs")
    await own.flushall()
    assert await queue.enqueue("test", "f", id="one"), "no lane knows it any more"
    await queue.enqueue("test", "f", id="two")
    await eventually(lambda: len(ran.jobs) == 2, "the second one runs")
    ran.open.set()
    await eventually(lambda: _is_empty(queue), "both ended")
    assert ran.jobs == [("one", 0), ("two", 0)]


async def test_scripts_come_back_after_script_flush(crews: Crews, own_redis: Server, own: Redis, ran: Ran) -> None:
    queue = LaneQueue(own, CODEC)
    await crews(lane(), {"f": ran}, url=own_redis.url, queue=queue)
    for name in ("one", "two"):
        await own.script_flush()
        await queue.enqueue("test", "f", id=name)
        await eventually(lambda name=name: (name, 0) in ran.jobs, "it ran")  # type: ignore[misc, arg-type]


async def test_a_full_redis_takes_nothing_new_but_what_it_holds_is_done(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    """`OOM command not allowed` ends arq's worker."""
    queue = LaneQueue(own, CODEC)
    ran.open.clear()
    worker_pool = await crews(lane(places=1), {"f": ran}, url=own_redis.url, queue=queue)
    await queue.enqueue_many("test", [NewJob("f", id=str(number)) for number in range(3)])
    await eventually(lambda: len(ran.jobs) == 1, "one runs")
    await own.config_set("maxmemory", "1")
    with pytest.raises(Unreachable, match="OOM"):
        await queue.enqueue("test", "f", id="more")
    ran.open.set()
    await eventually(lambda: _is_empty(queue), "all that was there ended")
    await own.config_set("maxmemory", "0")
    await queue.enqueue("test", "f", id="more")
    await eventually(lambda: ("more", 0) in ran.jobs, "it takes more again", timeout=MAX_RECOVERY_SECONDS)
    await eventually(lambda: not worker_pool.degraded, "the worker_pool is well")


async def test_a_redis_that_became_a_replica_is_waited_for(
    crews: Crews, own_redis: Server, own: Redis, ran: Ran
) -> None:
    """`READONLY` ends arq's worker."""
    queue = LaneQueue(own, CODEC)
    worker_pool = await crews(lane(), {"f": ran}, url=own_redis.url, queue=queue)
    await queue.enqueue("test", "f", id="one", delay=0.5)
    await own.replicaof("127.0.0.1", "1")
    await eventually(lambda: worker_pool.degraded, "the worker_pool is degraded")
    assert not ran.jobs
    await own.replicaof("NO", "ONE")
    await eventually(lambda: ran.jobs == [("one", 0)], "it ran", timeout=MAX_RECOVERY_SECONDS)


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0
