"""Redis behind a Sentinel: when the primary dies, work goes on at its successor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline_engine.embedded.ports import free_ports
from pipeline_engine.embedded.program import Program
from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Context, LaneQueue, connect, sentinel
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.world import World


@pytest.fixture
async def successor(tmp_path: Path, own_redis: Server) -> AsyncIterator[Server]:
    server = Server(tmp_path / "successor")
    await server.start()
    async with Redis.from_url(server.url) as admin:
        await admin.execute_command("REPLICAOF", "127.0.0.1", str(own_redis.port))
    yield server
    await server.stop(patience=0)


@pytest.fixture
async def sentinel_url(tmp_path: Path, own_redis: Server, successor: Server) -> AsyncIterator[str]:
    port = free_ports(1)[0]
    folder = tmp_path / "sentinel"
    folder.mkdir()
    (folder / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor crm 127.0.0.1 {own_redis.port} 1\n"
        "sentinel down-after-milliseconds crm 500\nsentinel failover-timeout crm 2000\n"
    )
    program = Program("sentinel", folder / "sentinel.log")
    program.start([own_redis.executable, folder / "sentinel.conf", "--sentinel"], {"LC_ALL": "C"}, folder)
    async with Redis(port=port) as admin:
        await eventually(lambda: _knows_replica(admin), "the sentinel knows both", 30)
    yield f"redis+sentinel://127.0.0.1:{port}/crm/0"
    await program.stop(0)


@pytest.mark.covers("CL-02")
async def test_work_goes_on_at_the_successor_that_the_sentinel_names(
    crews: Crews, own_redis: Server, sentinel_url: str
) -> None:
    ran: list[str] = []

    async def run(context: Context[None]) -> None:
        ran.append(context.job.id)

    await asyncio.to_thread(sentinel.ping, sentinel_url)
    async with connect(sentinel_url) as client:
        queue = LaneQueue(client, CODEC)
        pool = await crews(lane(), {"f": run}, url=sentinel_url, queue=queue, look_every=0.5)
        await queue.enqueue("test", "f", id="before")
        await eventually(lambda: ran == ["before"], "it ran before")
        await own_redis.stop(patience=0)
        await eventually(lambda: _enqueued(queue), "the successor takes jobs", 40)
        await eventually(lambda: "after" in ran and not pool.degraded, "and they run", 40)
    await asyncio.to_thread(sentinel.ping, sentinel_url)


@pytest.mark.slow
@pytest.mark.covers("CL-02")
async def test_a_daemon_goes_on_at_the_successor(
    environment: dict[str, str], own_redis: Server, sentinel_url: str, world: World, tmp_path: Path
) -> None:
    daemon = Daemon({**environment, "REDIS_URL": sentinel_url}, tmp_path, "daemon")
    try:
        await eventually(lambda: daemon.ready, "the daemon starts", 60, daemon)
        for stop_primary in (False, True):
            if stop_primary:
                await own_redis.stop(patience=0)
            queue_id = world.submit("Deal\nOne\n", {"Deal": "name"})
            done = partial(lambda of: world.import_of(of)["status"] == "completed", queue_id)
            await eventually(done, "the import is completed", 60, daemon)
        await daemon.terminate()
        assert daemon.exit_code == 0
    finally:
        daemon.kill()


async def _knows_replica(admin: Redis) -> bool:
    try:
        found = await admin.execute_command("SENTINEL", "REPLICAS", "crm")  # type: ignore[no-untyped-call]
    except Exception:
        return False
    return len(found) == 1


async def _enqueued(queue: LaneQueue) -> bool:
    try:
        return await queue.enqueue("test", "f", id="after")
    except Unreachable:
        return False
