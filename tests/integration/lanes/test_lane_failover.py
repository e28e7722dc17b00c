"""Redis becomes a replica, loads, is full or lacks rights: the lanes leave it or wait, and say what is wrong."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline_engine.embedded.redis import Redis as Server
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Context, LaneQueue, connect
from tests.integration.lanes.conftest import Crews
from tests.integration.lanes.stage import CODEC, lane
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.said import Said

MAX_FAILOVER_SECONDS = 10.0


@pytest.fixture
async def successor(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "successor")
    await server.start()
    yield server
    await server.stop(patience=0)


@pytest.fixture
async def name(own_redis: Server) -> AsyncIterator[Proxy]:
    """The name in REDIS_URL: connections stay with the server that it meant when they were opened."""
    async with Proxy.before(own_redis.url) as proxy:
        yield proxy


@pytest.fixture
async def queue(own_redis: Server, name: Proxy) -> AsyncIterator[LaneQueue]:
    async with connect(name.instead_of(own_redis.url)) as client:
        yield LaneQueue(client, CODEC)


async def demote(server: Server, master_port: int) -> None:
    async with Redis.from_url(server.url) as admin:
        await order(admin, "REPLICAOF", "127.0.0.1", str(master_port))


@pytest.mark.parametrize("follows", [True, False], ids=["follows its successor", "follows nobody"])
async def test_work_goes_on_at_the_successor_of_a_replica(
    crews: Crews, own_redis: Server, successor: Server, name: Proxy, queue: LaneQueue, said: Said, follows: bool
) -> None:
    ran: list[str] = []

    async def run(context: Context[None]) -> None:
        ran.append(context.job.id)

    pool = await crews(lane(), {"f": run}, url=name.instead_of(own_redis.url), queue=queue, look_every=0.5)
    await queue.enqueue("test", "f", id="before")
    await eventually(lambda: ran == ["before"], "it ran before")

    await demote(own_redis, successor.port if follows else 1)
    name.target = ("127.0.0.1", successor.port)
    demoted = time.monotonic()
    async with connect(successor.url) as client:  # another process, which has found the successor
        await LaneQueue(client, CODEC).enqueue("test", "f", id="after")
    await eventually(lambda: "after" in ran and not pool.degraded, "the idle daemon works at the successor", 30)
    await queue.check()

    assert time.monotonic() - demoted < MAX_FAILOVER_SECONDS
    assert "loop.failed" not in said()
    assert said().count("is a read-only replica (READONLY)") <= 1


async def order(admin: Redis, *words: str) -> None:
    await admin.execute_command(*words)  # type: ignore[no-untyped-call]


Harm = Callable[[Redis], Awaitable[None]]


async def fill(admin: Redis) -> None:
    await order(admin, "CONFIG", "SET", "maxmemory", "1")


async def demote_in_place(admin: Redis) -> None:
    await order(admin, "REPLICAOF", "127.0.0.1", "1")


def forbid(command: str) -> Harm:
    async def harm(admin: Redis) -> None:
        await order(admin, "ACL", "SETUSER", "default", f"-{command}")

    harm.__name__ = f"forbid {command}"
    return harm


@pytest.mark.parametrize(
    ("harm", "state", "text"),
    [
        (fill, "full", "has no memory left (OOM)"),
        (demote_in_place, "read_only", "is a read-only replica (READONLY)"),
        (forbid("zadd"), "not_permitted", "the command ZADD (NOPERM)"),
        (forbid("hset"), "not_permitted", "the command HSET (NOPERM)"),
        (forbid("evalsha"), "not_permitted", "the command EVALSHA (NOPERM)"),
        (forbid("set"), "not_permitted", "the command SET (NOPERM)"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
async def test_what_is_wrong_is_named_once_and_never_a_traceback(
    crews: Crews, own_redis: Server, name: Proxy, queue: LaneQueue, said: Said, harm: Harm, state: str, text: str
) -> None:
    async def run(_context: Context[None]) -> None:
        return

    await crews(lane(), {"f": run}, url=own_redis.url, queue=queue, look_every=0.1)
    await queue.enqueue("test", "f", id="delayed", delay=1.0)
    async with Redis.from_url(own_redis.url) as admin:
        await harm(admin)

        async def unready() -> Unreachable | None:
            try:
                await queue.check()
            except Unreachable as error:
                return error
            return None

        error = await eventually(unready, "it is not ready")

        assert error
        assert (error.state, text in str(error)) == (state, True)
        assert "Traceback" not in said()
        lines = [line for line in said().splitlines() if "redis.lost" in line]
        assert sum(text in line for line in lines) <= 1
