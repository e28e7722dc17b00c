"""S3 that breaks off, hangs, refuses: through a proxy in front of the real server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from pipeline_engine.errors import Transient
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.storage_errors import ObjectChanged
from tests.support.proxy import Fault, Proxy

MB = 1024 * 1024
BODY = random.Random(7).randbytes(8 * MB)  # noqa: S311


async def whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.fixture
async def proxy(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        yield proxy


def opened(servers: dict[str, str], endpoint: str, **timeouts: Any) -> Storage:
    return Storage(
        endpoint=endpoint,
        region=servers["S3_REGION"],
        key_id=servers["S3_ACCESS_KEY_ID"],
        secret=servers["S3_SECRET_ACCESS_KEY"],
        bucket=servers["S3_BUCKET"],
        **timeouts,
    )


@pytest.fixture
async def storage(servers: dict[str, str], proxy: Proxy) -> AsyncIterator[Storage]:
    """Impatient, and through the proxy."""
    endpoint = proxy.instead_of(servers["S3_ENDPOINT_URL"])
    async with opened(servers, endpoint, connect_timeout=0.5, read_timeout=0.5, call_timeout=1.5) as storage:
        yield storage


@pytest.fixture
async def direct(servers: dict[str, str]) -> AsyncIterator[Storage]:
    """Past the proxy: for what a test needs done."""
    async with opened(servers, servers["S3_ENDPOINT_URL"]) as storage:
        yield storage


@pytest.fixture
async def key(direct: Storage, key_prefix: str) -> str:
    """The key of an object that holds BODY."""
    name = f"{key_prefix}rows.csv"
    await direct.put_stream(name, whole(BODY))
    return name


async def _read_on(stream: AsyncIterator[bytes], into: bytearray) -> None:
    async for block in stream:
        into += block


async def test_a_body_that_breaks_off_goes_on_where_it_was(storage: Storage, proxy: Proxy, key: str) -> None:
    proxy.set(Fault(cut_after=3 * MB, times=2))
    assert await storage.read(key) == BODY
    assert proxy.cuts == 2


async def test_a_range_that_breaks_off_goes_on_inside_the_range(storage: Storage, proxy: Proxy, key: str) -> None:
    proxy.set(Fault(cut_after=1 * MB, times=1))
    assert await storage.read(key, 1_000_000, 5_000_000) == BODY[1_000_000:5_000_000]
    assert proxy.cuts == 1


async def test_breaks_with_progress_between_them_are_not_counted_up(storage: Storage, proxy: Proxy, key: str) -> None:
    proxy.set(Fault(cut_after=1 * MB))
    assert await storage.read(key) == BODY
    assert proxy.cuts > 5


async def test_breaks_without_progress_end_the_stream(storage: Storage, proxy: Proxy, key: str) -> None:
    proxy.set(Fault(cut_after=2000))
    with pytest.raises(Transient):
        await storage.read(key)
    assert proxy.cuts >= 5


async def test_an_object_replaced_while_the_body_was_broken_is_not_mixed_in(
    storage: Storage, direct: Storage, proxy: Proxy, key: str
) -> None:
    read = bytearray()
    async with aclosing(storage.stream(key)) as stream:
        read += await anext(stream)
        await direct.put_stream(key, whole(BODY[::-1]))
        await proxy.cut()
        with pytest.raises(ObjectChanged):
            await _read_on(stream, read)
    assert BODY.startswith(read)


async def test_a_hanging_server_is_transient_and_costs_a_bounded_time(storage: Storage, proxy: Proxy, key: str) -> None:
    proxy.set(Fault(hang=True))
    for call in (storage.head(key), storage.delete(key), storage.put_stream(key, whole(b"x")), storage.check()):
        started = time.monotonic()
        with pytest.raises(Transient):
            await call
        assert time.monotonic() - started < 5


async def test_a_server_that_stops_reading_is_transient(storage: Storage, proxy: Proxy, key: str) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield BODY
        proxy.set(Fault(hang=True))
        yield BODY

    with pytest.raises(Transient):
        await storage.put_stream(key, source())


async def test_a_body_that_hangs_goes_on_when_the_server_is_back(storage: Storage, proxy: Proxy, key: str) -> None:
    async def heal_at_the_next_try() -> None:
        async with asyncio.timeout(10):
            await proxy.arrival.wait()
        proxy.heal()

    read = bytearray()
    async with aclosing(storage.stream(key)) as stream:
        read += await anext(stream)
        proxy.set(Fault(hang=True))
        proxy.arrival.clear()
        healing = asyncio.create_task(heal_at_the_next_try())
        await _read_on(stream, read)
    await healing
    assert read == BODY


async def test_a_server_that_is_away_is_transient_and_works_when_it_is_back(
    storage: Storage, proxy: Proxy, key: str
) -> None:
    await proxy.refuse()
    with pytest.raises(Transient):
        await storage.read(key)
    await proxy.accept()
    assert await storage.read(key) == BODY


async def test_one_lost_answer_is_repeated_unseen(servers: dict[str, str], proxy: Proxy, key: str) -> None:
    async with opened(servers, proxy.instead_of(servers["S3_ENDPOINT_URL"])) as patient:
        proxy.set(Fault(cut_after=0, times=1))
        await patient.head(key)
    assert proxy.cuts == 1
