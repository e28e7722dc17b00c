"""S3 breaks off, hangs, is busy or away in mid-import: the import goes on when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bson import ObjectId

from tests.support.daemon import Daemon
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill
from tests.support.proxy import Fault, Proxy

ROWS = 8_000
CHUNKS = 80
FILE = csv_file(ROWS)
SETTINGS = {"IMPORT_CHUNK_ROWS": str(ROWS // CHUNKS), "IMPORT_CHUNKS_AHEAD": "2", "IMPORT_RETRY_SECONDS": "4"}
SLOWLY = Fault(delay=0.2)
"""For each 64 kB, so that the body is still on its way when the fault comes."""


@pytest.fixture
async def proxy(servers: dict[str, str]) -> AsyncIterator[Proxy]:
    async with Proxy.before(servers["S3_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture
async def busy_server() -> AsyncIterator[tuple[str, int]]:
    """Answers every request with 503."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


@pytest.mark.slow
async def test_a_body_that_breaks_off_again_and_again(drill: ImportDrill, proxy: Proxy, figure: list[str]) -> None:
    proxy.set(Fault(cut_after=100_000))
    drill.plan.plant(FILE)
    drill.start(**SETTINGS, S3_ENDPOINT_URL=_through(proxy, drill))
    await drill.come_to_rest()
    drill.check()
    figure.append(f"{proxy.cuts} bodies broken off")
    assert proxy.cuts > 2


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, 8])
async def test_it_hangs_in_mid_body(drill: ImportDrill, proxy: Proxy, seconds: float, figure: list[str]) -> None:
    queue_id, daemon = await _in_mid_body(drill, proxy)
    proxy.set(Fault(hang=True))
    await drill.outlast(daemon, seconds)
    proxy.heal()
    figure.append(await _goes_on(drill, queue_id))


@pytest.mark.parametrize("seconds", [pytest.param(n, marks=pytest.mark.slow) for n in (2, 8)])
async def test_it_is_away(drill: ImportDrill, proxy: Proxy, seconds: float, figure: list[str]) -> None:
    queue_id, daemon = await _in_mid_body(drill, proxy)
    proxy.heal()
    await proxy.refuse()
    await drill.outlast(daemon, seconds)
    await proxy.accept()
    figure.append(await _goes_on(drill, queue_id))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, 8])
async def test_it_is_busy(
    drill: ImportDrill, proxy: Proxy, busy_server: tuple[str, int], seconds: float, figure: list[str]
) -> None:
    queue_id, daemon = await _in_mid_body(drill, proxy)
    proxy.heal()
    real, proxy.target = proxy.target, busy_server
    await proxy.cut()
    await drill.outlast(daemon, seconds)
    proxy.target = real
    figure.append(await _goes_on(drill, queue_id))


def _through(proxy: Proxy, drill: ImportDrill) -> str:
    return proxy.instead_of(drill.environment["S3_ENDPOINT_URL"])


async def _in_mid_body(drill: ImportDrill, proxy: Proxy) -> tuple[ObjectId, Daemon]:
    proxy.set(SLOWLY)
    queue_id = drill.plan.plant(FILE)
    daemon = await drill.started(**SETTINGS, S3_ENDPOINT_URL=_through(proxy, drill))
    await drill.progress(1)
    return queue_id, daemon


async def _goes_on(drill: ImportDrill, queue_id: ObjectId) -> str:
    done = drill.plan.done()
    assert done < CHUNKS, "the import was over before the fault"
    went_on = await drill.progress(done + 1)
    await drill.come_to_rest()
    drill.check()
    attempts = drill.world.import_of(queue_id)["attempts"]
    return f"at {done} of {CHUNKS} chunks; went on after {went_on:.1f} s; attempts {attempts}"
