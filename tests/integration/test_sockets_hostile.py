"""Socket services that send what they like, throw us out or redirect us."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psutil
import pytest
from aiohttp import WSMsgType, web

from pipeline_engine.clock import Clock
from pipeline_engine.providers.sockets import Delivery, Sockets, SocketService
from pipeline_engine.providers.tokens import ServiceTokens

SECRET = "a secret that is long enough for everybody"
MB = 1024 * 1024


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ServiceTokens:
    return ServiceTokens(SECRET, clock)


async def say(service: Sockets, event_id: str = "e1") -> Delivery:
    return await service.emit("import_progress", event_id, ["u1"], {"rows_read": 5})


# A service that means harm

Rudeness = Callable[[web.WebSocketResponse], Awaitable[None]]
OPEN = json.dumps({"sid": "s", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000})


@asynccontextmanager
async def rude_service(rudeness: Rudeness) -> AsyncIterator[str]:
    """Speaks just enough Socket.IO to let a client in, then does something to it, and acknowledges every event."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(f"0{OPEN}")
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data.startswith("40"):
                await socket.send_str('40{"sid":"s"}')
                await rudeness(socket)
            elif message.type is WSMsgType.TEXT and message.data.startswith("42"):
                number = message.data[2 : message.data.index("[")]
                await socket.send_str(f"43{number}[]")
        return socket

    app = web.Application()
    app.router.add_get("/socket.io/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _endless_attachments(socket: web.WebSocketResponse) -> None:
    await socket.send_str('45999999999-["x",{"_placeholder":true,"num":0}]')
    for _ in range(400):
        await socket.send_bytes(b"x" * (200 * 1024))


async def _nonsense(socket: web.WebSocketResponse) -> None:
    for text in (
        "42",
        "42{}",
        "427[]",
        "43",
        "439{}",
        "43999[1]",
        "49",
        "4x",
        "42" + "[" * 100_000,
        "46-",
        "44",
        "9",
        "z",
    ):
        await socket.send_str(text)
    await socket.send_bytes(b"\x00\xff")


async def _unknown_events(socket: web.WebSocketResponse) -> None:
    for number in range(1000):
        await socket.send_str(f'42{number}["do_something",{{"x":{number}}}]')


@pytest.mark.parametrize("rudeness", [_endless_attachments, _nonsense, _unknown_events])
async def test_a_service_that_sends_what_it_likes_does_no_harm(
    tokens: ServiceTokens, rudeness: Rudeness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    before = psutil.Process().memory_info().rss
    async with rude_service(rudeness) as url, SocketService(url, "socket.io", tokens, timeout=0.5) as service:
        for number in range(3):
            await say(service, f"e{number}")
    grown = psutil.Process().memory_info().rss - before
    assert grown < 50 * MB
    assert [record.message for record in caplog.records if "never retrieved" in record.message] == []


async def test_a_huge_frame_is_not_taken(tokens: ServiceTokens) -> None:
    hung_up = asyncio.Event()

    async def send_it(socket: web.WebSocketResponse) -> None:
        try:
            await socket.send_str("42" + json.dumps(["x", "y" * (100 * MB)]))
        except ConnectionError:
            hung_up.set()

    async with rude_service(send_it) as url, SocketService(url, "socket.io", tokens, timeout=2.0) as service:
        assert not await say(service)
        async with asyncio.timeout(5):
            await hung_up.wait()


async def test_a_service_that_throws_us_out_is_not_stormed(tokens: ServiceTokens) -> None:
    let_in = 0

    async def throw_out(socket: web.WebSocketResponse) -> None:
        nonlocal let_in
        let_in += 1
        await socket.close()

    async with rude_service(throw_out) as url, SocketService(url, "socket.io", tokens, timeout=0.2) as service:
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            assert not await say(service)
            await asyncio.sleep(0)
    assert 1 <= let_in <= 3


async def test_a_redirect_is_refused(tokens: ServiceTokens) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere/")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with SocketService(url, "socket.io", tokens, timeout=1.0) as service:
        assert await say(service) is Delivery.UNSENT
    await runner.cleanup()
    assert asked == ["/socket.io/"]
