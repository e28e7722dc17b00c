"""arq's own client writes jobs that run like any other; whatever else is written there is refused."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, Redis

from pipeline_engine.lanes import Codec, Context, LaneQueue, NewJob
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually
from tests.support.said import Said


def arq_client(url: str, queue: LaneQueue, codec: Codec = CODEC) -> ArqRedis:
    pool = ConnectionPool.from_url(url)
    return ArqRedis(pool, codec.serialize, codec.deserialize, default_queue_name=queue.keys.inbox("test"))


@pytest.fixture
async def arq(redis_url: str, queue: LaneQueue) -> AsyncIterator[ArqRedis]:
    client = arq_client(redis_url, queue)
    yield client
    await client.aclose(close_connection_pool=True)


async def test_a_job_from_arqs_client_runs_like_any_other(crews: Crews, arq: ArqRedis, redis_prefix: str) -> None:
    seen: list[tuple[str, int, str, int]] = []

    async def handler(context: Context[None], number: int, word: str) -> None:
        seen.append((context.job.id, number, word, context.job.attempt))

    await crews(lane(), {"f": handler}, look_every=0.05)
    name = f"{redis_prefix}one"
    assert await arq.enqueue_job("f", 7, word="x", _job_id=name)
    await eventually(lambda: seen == [(name, 7, "x", 1)], "it ran")
    assert not await arq.exists(f"arq:job:{name}", f"arq:result:{name}")
    assert await arq.enqueue_job("f", 8, word="y", _job_id=name), "no result blocks the id"
    await eventually(lambda: len(seen) == 2, "it ran again")


async def test_a_job_that_arqs_client_enqueues_again_while_it_runs_runs_again(
    crews: Crews, arq: ArqRedis, redis_prefix: str
) -> None:
    seen: list[int] = []
    free = asyncio.Event()

    async def handler(_: Context[None], number: int) -> None:
        seen.append(number)
        await free.wait()

    await crews(lane(), {"f": handler}, look_every=0.05)
    name = f"{redis_prefix}one"
    assert await arq.enqueue_job("f", 7, _job_id=name)
    await eventually(lambda: seen == [7], "it runs")
    assert await arq.enqueue_job("f", 8, _job_id=name)
    assert await arq.enqueue_job("f", 9), "a job behind it"
    await eventually(lambda: 9 in seen, "the lane adopts what is behind it")
    assert 8 not in seen, "one id runs once at a time"
    free.set()
    await eventually(lambda: 8 in seen, "it runs again")


async def test_a_deferred_job_from_arqs_client_waits(crews: Crews, arq: ArqRedis) -> None:
    ran: list[float] = []

    async def handler(_: Context[None]) -> None:
        ran.append(time.time())

    await crews(lane(), {"f": handler}, look_every=0.05)
    start = time.time()
    await arq.enqueue_job("f", _defer_by=0.3)
    await eventually(lambda: len(ran) == 1, "it ran")
    assert ran[0] - start >= 0.299  # arq counts in whole milliseconds


async def test_an_id_that_waits_already_is_not_taken_from_arqs_client_either(
    crews: Crews, arq: ArqRedis, queue: LaneQueue, redis: Redis, redis_prefix: str
) -> None:
    runs = Counter[str]()

    async def handler(_: Context[None], origin: str) -> None:
        runs[origin] += 1

    name = f"{redis_prefix}one"
    await queue.enqueue("test", "f", "ours", id=name)
    await arq.enqueue_job("f", "arq's", _job_id=name)
    await crews(lane(), {"f": handler}, look_every=0.05)
    await eventually(lambda: _inbox_is_empty(redis, queue), "the inbox is read")
    await eventually(lambda: runs == {"ours": 1}, "ours ran")
    await eventually(lambda: _is_empty(queue), "nothing is left")
    assert runs == {"ours": 1}


async def test_a_payload_outlives_the_expiry_that_arq_gave_it(
    crews: Crews, arq: ArqRedis, queue: LaneQueue, redis: Redis, redis_prefix: str
) -> None:
    """arq's payloads expire after a day at most: a job that waits longer is lost, with one line in the log."""
    ran = asyncio.Event()

    async def handler(_: Context[None]) -> None:
        ran.set()

    await queue.pause("test")
    name = f"{redis_prefix}one"
    await arq.enqueue_job("f", _job_id=name, _expires=60)
    assert await redis.pttl(f"arq:job:{name}") > 0
    await crews(lane(), {"f": handler}, look_every=0.02)
    await eventually(lambda: _inbox_is_empty(redis, queue), "the lane has adopted it")
    assert not await redis.exists(f"arq:job:{name}")
    assert await redis.pttl(queue.keys.stem("test") + "jobs") == -1, "it does not expire"
    await queue.resume("test")
    async with asyncio.timeout(5):
        await ran.wait()


async def test_arqs_abort_marks_kill_nothing(crews: Crews, queue: LaneQueue, redis: Redis, redis_prefix: str) -> None:
    """In arq the mark of an abort that came late kills the next job of that id."""
    ran = asyncio.Event()

    async def handler(_: Context[None]) -> None:
        ran.set()

    name = f"{redis_prefix}one"
    await redis.zadd("arq:abort", {name: time.time() * 1000})
    await crews(lane(), {"f": handler})
    await queue.enqueue("test", "f", id=name)
    async with asyncio.timeout(5):
        await ran.wait()
    await redis.zrem("arq:abort", name)


class Trap:
    """Unpickling this runs a command."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


async def test_planted_payloads_are_refused_and_neighbours_run(
    crews: Crews, queue: LaneQueue, redis: Redis, tmp_path: Path, said: Said
) -> None:
    """arq unpickles whatever stands in Redis: a planted value runs a shell command."""
    mark = tmp_path / "executed"
    job: dict[str, Any] = {"t": None, "f": "f", "a": [], "k": {}, "et": 0}
    planted = {
        "pickle": pickle.dumps({**job, "a": [Trap(mark)]}),
        "another key": Codec(b"the key of another program entirely").serialize(job),
        "no digest": CODEC.serialize(job)[16:],
        "cut": CODEC.serialize(job)[:-1],
        "empty": b"",
        "huge": b"CANARY" * 2_000_000,
        "not a job": CODEC.serialize({"f": "f"}),
        "not even a map": CODEC.serialize([1, 2]),
    }
    ran: list[str] = []

    async def handler(context: Context[None]) -> None:
        ran.append(context.job.id)

    inbox = queue.keys.inbox("test")
    for name, payload in planted.items():
        await redis.set(f"arq:job:{queue.keys.prefix}{name}", payload)
        await redis.zadd(inbox, {f"{queue.keys.prefix}{name}": 1})
    await redis.zadd(inbox, {f"{queue.keys.prefix}expired": 1})
    await queue.enqueue_many("test", [NewJob("f", id="neighbour")])
    worker_pool = await crews(lane(), {"f": handler}, look_every=0.05)
    await eventually(lambda: worker_pool.stats()["test"].refused == len(planted) + 1, "all are refused")
    await eventually(lambda: ran == ["neighbour"], "the neighbour ran")
    await eventually(lambda: _is_empty(queue), "the lane is empty")
    assert not mark.exists()
    assert not [key async for key in redis.scan_iter(f"arq:job:{queue.keys.prefix}*")]
    assert "CANARY" not in said()


async def test_an_id_that_is_no_text_does_not_stop_its_neighbours(crews: Crews, queue: LaneQueue, redis: Redis) -> None:
    ran: list[str] = []

    async def handler(context: Context[None]) -> None:
        ran.append(context.job.id)

    await redis.zadd(queue.keys.stem("test") + "high", {b"\xff\xfe": 0})
    await queue.enqueue_many("test", [NewJob("f", id="a"), NewJob("f", id="b")])
    await crews(lane(), {"f": handler})
    await eventually(lambda: sorted(ran) == ["a", "b"], "the neighbours ran")


async def _inbox_is_empty(redis: Redis, queue: LaneQueue) -> bool:
    return not await redis.zcard(queue.keys.inbox("test"))


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0
