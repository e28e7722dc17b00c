"""The proxy of the tests: it passes, cuts, hangs, delays and refuses as it is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from tests.support.proxy import Fault, Proxy

ANSWER_TIMEOUT = 5.0


class Echo:
    """A server that answers every line with itself, and remembers the lines."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            async for line in reader:
                self.heard.append(line)
                writer.write(line)
        writer.close()


class Caller:
    """One connection that speaks in lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def say(self, line: bytes) -> None:
        self.writer.write(line)
        await self.writer.drain()

    async def hear(self, timeout: float = ANSWER_TIMEOUT) -> bytes:
        async with asyncio.timeout(timeout):
            return await self._reader.readline()

    async def ask(self, line: bytes) -> bytes:
        await self.say(line)
        return await self.hear()


class Scene:
    """An echo server behind a proxy, and callers that go through it."""

    def __init__(self, server: Echo, proxy: Proxy, closing: AsyncExitStack) -> None:
        self.server, self.proxy, self._closing = server, proxy, closing

    async def caller(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(self.proxy.host, self.proxy.port, limit=1 << 20))
        self._closing.callback(caller.writer.close)
        return caller


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    server = Echo()
    listening = await asyncio.start_server(server, "127.0.0.1", 0, limit=1 << 20)
    async with listening, Proxy(*listening.sockets[0].getsockname()) as proxy, AsyncExitStack() as closing:
        yield Scene(server, proxy, closing)


async def test_passes_both_ways_and_closes_when_the_caller_does(scene: Scene) -> None:
    caller = await scene.caller()
    long = b"x" * 300_000 + b"\n"
    assert await caller.ask(b"one\n") == b"one\n"
    assert await caller.ask(long) == long
    caller.writer.write_eof()
    assert await caller.hear() == b""
    assert scene.server.heard == [b"one\n", long]


async def test_cut_resets_open_connections_and_serves_new_ones(scene: Scene) -> None:
    caller = await scene.caller()
    await caller.ask(b"one\n")
    await scene.proxy.cut()
    with pytest.raises(ConnectionResetError):
        await caller.ask(b"two\n")
    assert await (await scene.caller()).ask(b"three\n") == b"three\n"
    assert scene.proxy.accepted == 2


async def test_an_answer_breaks_off_after_n_bytes_and_only_as_often_as_set(scene: Scene) -> None:
    scene.proxy.set(Fault(cut_after=8, times=1))
    caller = await scene.caller()
    assert await caller.ask(b"1234567\n") == b"1234567\n"
    with pytest.raises(ConnectionResetError):
        await caller.ask(b"x\n")
    assert await (await scene.caller()).ask(b"longer than eight\n") == b"longer than eight\n"
    assert scene.proxy.cuts == 1


async def test_cut_before_the_reply_lets_the_request_through(scene: Scene) -> None:
    scene.proxy.set(Fault(cut_after=0))
    with pytest.raises(ConnectionResetError):
        await (await scene.caller()).ask(b"done?\n")
    assert scene.server.heard == [b"done?\n"]


async def test_hang_holds_everything_until_it_is_healed(scene: Scene) -> None:
    caller = await scene.caller()
    await caller.ask(b"one\n")
    scene.proxy.set(Fault(hang=True))
    await caller.say(b"two\n")
    with pytest.raises(TimeoutError):
        await caller.hear(timeout=0.1)
    assert scene.server.heard == [b"one\n"]
    scene.proxy.heal()
    assert await caller.hear() == b"two\n"


async def test_delay_slows_each_piece(scene: Scene) -> None:
    caller = await scene.caller()
    scene.proxy.set(Fault(delay=0.1))
    started = asyncio.get_running_loop().time()
    assert await caller.ask(b"one\n") == b"one\n"
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_refuse_and_accept_again_on_the_same_port(scene: Scene) -> None:
    caller = await scene.caller()
    await caller.ask(b"one\n")
    port = scene.proxy.port
    await scene.proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await caller.ask(b"two\n")
    with pytest.raises(ConnectionRefusedError):
        await scene.caller()
    await scene.proxy.accept()
    assert scene.proxy.port == port
    assert await (await scene.caller()).ask(b"three\n") == b"three\n"


async def test_a_server_that_is_gone_looks_gone(scene: Scene) -> None:
    scene.proxy.target = ("127.0.0.1", 1)
    with pytest.raises(ConnectionResetError):
        await (await scene.caller()).ask(b"anybody?\n")


def test_a_url_is_led_through_the_proxy() -> None:
    proxy = Proxy.before("mongodb://user:secret@127.0.0.1:27017/crm?replicaSet=rs0")
    proxy.port = 40000
    assert proxy.instead_of("mongodb://user:secret@127.0.0.1:27017/crm") == "mongodb://user:secret@127.0.0.1:40000/crm"
