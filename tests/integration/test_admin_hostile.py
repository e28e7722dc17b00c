"""Clients of the HTTP port that drip, hoard, declare too much or speak no HTTP: only their own connections end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline_engine.admin import connection
from pipeline_engine.settings import Settings
from tests.integration.test_admin import AUTOMATIONS, Door, opened
from tests.support.eventually import eventually
from tests.support.said import Said
from tests.support.world import World

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
NEIGHBOUR = ("127.0.0.2", 0)


@pytest.fixture
async def door(configured: Settings, world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", 3.0)
    async with opened(configured, world) as door:
        yield door


@dataclass
class Client:
    """A connection that sends bytes as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and JSON of the response to these bytes."""
        self.writer.write(request)
        return await self.response()

    async def response(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, json.loads(body)

    async def drip(self, text: bytes = b"x" * 10_000) -> None:
        """A byte every 50 ms, until the server ends the connection."""
        with contextlib.suppress(OSError):
            for byte in text:
                self.writer.write(bytes([byte]))
                await self.writer.drain()
                if self.reader.at_eof() or self.writer.is_closing():
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.reader.read(1000), 0.05)
        self.ended.set()


@contextlib.asynccontextmanager
async def client(door: Door, source: tuple[str, int] = ("127.0.0.1", 0)) -> AsyncIterator[Client]:
    host, port = door.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=source)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def healthy(door: Door, source: tuple[str, int]) -> bool:
    async with client(door, source) as one:
        return (await one.ask(HEALTH))[0] == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz HTTP/1.1\r\nX: ",
        b"POST /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 60000\r\n\r\n",
        f"POST {AUTOMATIONS} HTTP/1.1\r\nHost: here\r\nContent-Length: 60000\r\n\r\n".encode(),
        b"",
    ],
    ids=["head", "body", "body of a trigger", "from the first byte"],
)
@pytest.mark.parametrize("after_a_response", [False, True])
async def test_a_dripping_client_keeps_no_other_out(door: Door, begun: bytes, after_a_response: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for _ in range(connection.MAX_CONNECTIONS_PER_ADDRESS):
            clients.append(one := await stack.enter_async_context(client(door)))
            if after_a_response:
                assert (await one.ask(HEALTH))[0] == 200
            one.writer.write(begun)
        drips = [asyncio.create_task(one.drip()) for one in clients]
        started = time.monotonic()
        assert await healthy(door, NEIGHBOUR)
        assert time.monotonic() - started < 10
        await eventually(lambda: all(one.ended.is_set() for one in clients), "every dripping connection is closed", 15)
        await asyncio.gather(*drips)
        await eventually(lambda: healthy(door, ("127.0.0.1", 0)), "the address is served again", 15)


async def test_an_address_has_so_many_connections(door: Door) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(connection.MAX_CONNECTIONS_PER_ADDRESS):
            await stack.enter_async_context(client(door))
        late = await stack.enter_async_context(client(door))
        status, headers, answer = await late.response()
        assert (status, answer["error"]["code"], headers["connection"]) == (429, "too_many_connections", "close")
        for _ in range(connection.MAX_CONNECTIONS + 5):
            await stack.enter_async_context(client(door))
        assert await healthy(door, NEIGHBOUR)


async def test_too_many_connections_of_all_are_refused_as_json(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 1)
    async with client(door) as first, client(door, NEIGHBOUR) as second:
        assert (await first.ask(HEALTH))[0] == 200
        status, headers, answer = await second.response()
        assert (status, answer["error"]["code"], headers["connection"]) == (503, "overloaded", "close")


@pytest.mark.parametrize(
    ("framing", "status"), [("Content-Length: 1000000000", 413), ("Transfer-Encoding: chunked", 411)]
)
@pytest.mark.parametrize("path", ["/healthz", AUTOMATIONS])
async def test_after_a_refusal_nothing_more_is_read(door: Door, framing: str, status: int, path: str) -> None:
    async with client(door) as one:
        request = f"POST {path} HTTP/1.1\r\nHost: here\r\n{framing}\r\n\r\n".encode()
        found, headers, answer = await one.ask(request)
        assert (found, headers["connection"], "message" in answer["error"]) == (status, "close", True)
        assert await one.reader.read() == b""  # the server has ended its side
        sent = 0
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                while sent < 100_000_000:
                    one.writer.write(b"x" * 65536)
                    await one.writer.drain()
                    sent += 65536
        assert sent < 20_000_000  # what fits into the buffers of both kernels


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / HTTP/x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 300_000,
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
@pytest.mark.parametrize("after_a_response", [False, True])
async def test_what_is_no_http_is_refused_as_json(door: Door, garbage: bytes, after_a_response: bool) -> None:
    async with client(door) as one:
        if after_a_response:
            assert (await one.ask(HEALTH))[0] == 200
        status, headers, answer = await one.ask(garbage)
        assert (status, answer["error"]["code"], headers["connection"]) == (400, "bad_request", "close")
        assert headers["x-content-type-options"] == "nosniff"
        assert await one.reader.read() == b""


async def test_a_request_that_stays_incomplete_is_answered_as_json(door: Door) -> None:
    async with client(door) as one:
        status, _, answer = await one.ask(b"GET /healthz HTTP/1.1\r\nHost: he")
        assert (status, answer["error"]["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("path", ["/healthz/", "//evil.example/healthz", f"{AUTOMATIONS}/"])
async def test_no_response_repeats_the_host(door: Door, path: str) -> None:
    async with client(door) as one:
        status, headers, answer = await one.ask(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        assert status in (404, 405)
        assert "evil.example" not in f"{headers} {answer}"


async def test_refused_tokens_are_counted_and_logged_without_the_token(door: Door, said: Said) -> None:
    header, payload, signature = door.token.split(".")
    forged = f"{header}.{payload}.{'A' * len(signature)}"
    for token in (forged, "x.y.z", *[forged] * 5):
        assert (await door.ask("POST", AUTOMATIONS, token))[0] == 401
    lines = [json.loads(line) for line in said().splitlines() if "tokens.refused" in line]
    assert [(line["code"], line["address"], line["count"]) for line in lines] == [("token_signature", "127.0.0.1", 1)]
    assert header not in said()
    assert signature not in said()


async def test_a_signature_has_one_spelling(door: Door) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(door.token[-1])
    for twin in (last + 1, last + 2, last + 3):  # the last character holds four bits only
        status, answer = await door.ask("POST", AUTOMATIONS, door.token[:-1] + alphabet[twin])
        assert (status, answer["error"]["code"]) == (401, "token_shape")
    assert (await door.ask("POST", AUTOMATIONS))[0] == 202
