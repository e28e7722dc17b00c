"""Jobs whose process is gone, and jobs that just run long."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import Context, FlowJob, LaneQueue, NewJob, chain, group
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import Book, lane
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]
LEASE = 0.6


@contextmanager
def daemon(url: str, prefix: str, lease: float = LEASE) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.integration.lanes.daemon", url, prefix, str(lease)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_job_longer_than_its_lease_keeps_it(crews: Crews, queue: LaneQueue) -> None:
    """arq never renews its in-progress key, so it makes it live for the longest time-out."""
    runs: list[str] = []
    lease = 3.0

    async def handler(context: Context[None]) -> None:
        runs.append(context.job.id)
        await asyncio.sleep(2.5 * lease)

    for _ in range(2):
        await crews(lane(), {"f": handler}, lease=lease, look_every=0.05)
    await queue.enqueue("test", "f", id="long")
    await eventually(lambda: len(runs) == 1, "it runs")
    await eventually(lambda: _is_empty(queue), "it ended")
    assert runs == ["long"]


async def test_a_standstill_of_the_process_is_not_taken_for_its_end(
    crews: Crews, queue: LaneQueue, redis: Redis
) -> None:
    runs: list[str] = []
    release_unchanged = asyncio.Event()

    async def long(context: Context[None]) -> None:
        runs.append(context.job.id)
        await release_unchanged.wait()

    async def block(_: Context[None]) -> None:
        await asyncio.sleep(LEASE)  # the worker_pool has been connected for long enough to reap
        time.sleep(2 * LEASE)  # noqa: ASYNC251 - that is the point

    await queue.enqueue_many("test", [NewJob("long", id="long"), NewJob("block", id="block")])
    await crews(lane(), {"long": long, "block": block}, lease=LEASE, look_every=0.01)
    await eventually(lambda: _holds(queue, active=1), "the standstill is over")
    release_unchanged.set()
    await eventually(lambda: _is_empty(queue), "both ended")
    assert runs == ["long"]
    assert not await redis.exists(queue.keys.stem("test") + "crashes")


@pytest.mark.covers("CL-06")
async def test_the_jobs_of_a_killed_process_run_elsewhere_within_seconds(
    crews: Crews, queue: LaneQueue, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """In arq they wait for the longest time-out of all functions + 10 s."""
    seen: list[tuple[str, int, int]] = []

    async def hold(context: Context[None]) -> None:
        seen.append((context.job.id, context.job.crashes, context.job.attempt))

    with daemon(redis_url, redis_prefix) as process:
        await queue.enqueue_many("test", [NewJob("hold", id="a"), NewJob("hold", id="b")])
        await eventually(lambda: _ran(redis, redis_prefix, 2), "both run there")
        process.kill()
        process.wait()
    await crews(lane(), {"hold": hold}, lease=LEASE, look_every=0.1)
    await eventually(lambda: len(seen) == 2, "both run here")
    assert sorted(seen) == [("a", 1, 1), ("b", 1, 1)], "a crash is counted, and uses no attempt"


async def test_a_job_that_kills_its_process_is_parked_and_its_neighbours_live(
    queue: LaneQueue, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    """Nothing in arq counts crashes: such a job kills one worker after the other, for ever."""
    await queue.enqueue_many("test", [NewJob("die", id="poison"), *(NewJob("quick", id=f"n{i}") for i in range(8))])
    deaths = 0
    while not await _is_empty(queue):
        assert deaths <= 3
        with daemon(redis_url, redis_prefix) as process:
            await eventually(lambda: _died_or_done(process, queue), "it died, or all jobs ended")
            deaths += process.poll() is not None
    assert deaths == 3
    assert await redis.lrange(f"{redis_prefix}buried", 0, -1) == [  # type: ignore[misc]
        b"poison the process ended 3 times in a row while this job ran"
    ]
    ran = Counter(line.decode().split()[1] for line in await redis.lrange(f"{redis_prefix}ran", 0, -1))  # type: ignore[misc]
    assert ran["poison"] == 3
    # One whose process dies between its end and its settlement runs again.
    assert ran.keys() == {"poison", *(f"n{i}" for i in range(8))}


async def test_a_lane_that_counts_no_crashes_never_gives_a_job_up(
    crews: Crews, queue: LaneQueue, redis: Redis, book: Book
) -> None:
    """The document behind an import counts its crashes; two counters would disagree."""
    crashes: list[int] = []

    async def handler(context: Context[None]) -> None:
        crashes.append(context.job.crashes)

    await queue.enqueue("test", "f", id="import")
    await redis.hset(queue.keys.stem("test") + "crashes", "import", "7")  # type: ignore[misc]
    await crews(lane(crashes=None), {"f": handler})
    await eventually(lambda: crashes == [7], "it ran")
    assert not book.letters


async def _ran(redis: Redis, prefix: str, times: int) -> bool:
    return bool(await redis.llen(f"{prefix}ran") >= times)  # type: ignore[misc]


async def _died_or_done(process: subprocess.Popen[bytes], queue: LaneQueue) -> bool:
    return process.poll() is not None or await _is_empty(queue)


async def _is_empty(queue: LaneQueue) -> bool:
    return (await queue.counts(["test"]))["test"].unfinished == 0


async def _holds(queue: LaneQueue, **expected: int) -> bool:
    counts = (await queue.counts(["test"]))["test"]
    return all(getattr(counts, name) == value for name, value in expected.items())


async def test_a_chain_and_a_group_survive_the_death_of_processes(
    redis_url: str, queue: LaneQueue, redis: Redis
) -> None:
    prefix, names = queue.keys.prefix, [f"s{i:02}" for i in range(8)]
    await chain(queue, [FlowJob("test", NewJob("quick", id=name)) for name in names])
    members = [FlowJob("test", NewJob("quick", id=f"m{i}")) for i in range(12)]
    await group(queue, members, final=FlowJob("test", NewJob("quick", id="final")))
    for ended in (3, 9):
        with daemon(redis_url, prefix):
            await eventually(lambda ended=ended: _ran(redis, prefix, ended), "some ended", 30)  # type: ignore[misc]
    with daemon(redis_url, prefix):
        await eventually(lambda: _is_empty(queue), "all ended", 30)
    ran = [line.split()[1].decode() for line in await redis.lrange(f"{prefix}ran", 0, -1)]  # type: ignore[misc]
    assert list(dict.fromkeys(name for name in ran if name in names)) == names, "in order"
    assert set(ran) == {*names, "final", *(member.job.id for member in members)}
    assert ran.count("final") == 1
    assert max(ran.index(f"m{i}") for i in range(12)) < ran.index("final")
