"""Uploads of slow clients: who goes on is waited for, who drips or hangs is not, and few hold a place at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bson import ObjectId

from pipeline_engine.admin import connection
from pipeline_engine.admin.server import SHUTDOWN_TIMEOUT
from pipeline_engine.settings import Settings
from tests.integration.test_admin import Door, opened
from tests.integration.test_admin_hostile import Client, client
from tests.support.eventually import eventually
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World

PATH = "/api/v1/deals/import"


@pytest.fixture
async def door(configured: Settings, world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", 0.3)
    monkeypatch.setattr(connection, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(connection, "MIN_SLOW_BYTES", 1000)
    async with opened(configured, world) as door:
        yield door


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files wait that do not fit into memory; they have no name there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def body_of(world: World, file: str) -> bytes:
    fields = {"pipeline_id": str(world.pipeline), "mappings": json.dumps(SAMPLE_MAPPINGS)}
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append(f'name="csv_file"; filename="deals.csv"\r\n\r\n{file}')
    lines = "".join(f"--xx\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    return f"{lines}--xx--\r\n".encode()


def head_of(door: Door, length: int, token: str | None = None, *more: str) -> bytes:
    headers = ["Host: here", f"Authorization: Bearer {token or door.token}", f"Content-Length: {length}"]
    headers += ["Content-Type: multipart/form-data; boundary=xx", *more]
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *headers, "", ""]).encode()


async def trickle(one: Client, body: bytes, pieces: int, pause: float) -> None:
    """Send the body in so many pieces."""
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        one.writer.write(body[start : start + size])
        await one.writer.drain()
        await asyncio.sleep(pause)


async def test_a_slow_client_that_goes_on_is_waited_for(door: Door, world: World) -> None:
    body = body_of(world, SAMPLE + "\n" * 20_000)
    async with client(door) as one:
        one.writer.write(head_of(door, len(body)))
        await trickle(one, body, 20, 0.1)  # in two seconds
        status, _, answer = await one.response()
    assert status == 202
    assert world.import_of(ObjectId(answer["queue_id"]))["status"] == "pending"


@pytest.mark.parametrize("pieces", [1, 100], ids=["hangs", "drips"])
async def test_a_client_that_hangs_or_drips_is_ended(door: Door, world: World, spool: Path, pieces: int) -> None:
    begun = body_of(world, SAMPLE + "\n" * 2_000_000)[:1_500_000]
    async with client(door) as one:
        one.writer.write(head_of(door, 10_000_000) + begun)
        drips = asyncio.create_task(trickle(one, b"x" * pieces, pieces, 0.05))
        status, headers, answer = await one.response()
        assert (status, answer["error"]["code"], headers["connection"]) == (408, "request_timeout", "close")
        assert "1000 bytes in each 0.5 s" in answer["error"]["message"]
        drips.cancel()
        await asyncio.gather(drips, return_exceptions=True)
    assert world.db["queues"].count_documents({}) == 0


async def test_without_a_right_token_there_is_no_more_time(door: Door) -> None:
    async with client(door) as one:
        status, headers, _ = await one.ask(head_of(door, 10_000_000, "x.y.z", "Expect: 100-continue"))
        assert (status, headers["connection"]) == (401, "close")


async def test_who_breaks_off_frees_the_place_of_the_account(door: Door, world: World) -> None:
    async def taken() -> int:
        async with client(door) as late:
            late.writer.write(head_of(door, len(body)) + body)
            return (await late.response())[0]

    body = body_of(world, SAMPLE)
    async with client(door) as first, client(door) as second:
        for one in (first, second):
            one.writer.write(head_of(door, 10_000_000, None, "Expect: 100-continue"))
            assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        assert await taken() == 429

    async def is_free() -> bool:
        return await taken() == 202

    await eventually(is_free, "the places are free again")


async def test_a_stop_waits_for_no_client(configured: Settings, world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with opened(configured, world) as door:
            one = await stack.enter_async_context(client(door))
            one.writer.write(head_of(door, 10_000_000) + body_of(world, SAMPLE * 10_000)[:-1])
            assert (await door.ask("GET", "/healthz", ""))[0] == 200
            stopped = time.monotonic()
        assert time.monotonic() - stopped < SHUTDOWN_TIMEOUT + 2
    assert world.db["queues"].count_documents({}) == 0
