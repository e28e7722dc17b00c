"""The client of webhooks against endpoints that redirect, hang, drip and flood."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline_engine.errors import Transient
from pipeline_engine.providers.webhooks import WebhookClient
from tests.support.stand_ins.endpoint import BOMB, ENDLESS, Answer, Drip, Endpoint, Hang
from tests.support.webhook_client import BODY, opened, posted

TIMEOUT = 0.5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure(endpoint: Endpoint, status: int) -> None:
    async with Endpoint() as inside:
        endpoint.manner = Answer(status, {"Location": inside.url})
        reply = await posted(endpoint.url)

    assert (reply.status, len(endpoint.received), inside.received) == (status, 1, [])
    assert "redirects are not followed" in str(reply.error)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_what_is_accepted(endpoint: Endpoint, status: int) -> None:
    endpoint.manner = Answer(status)
    reply = await posted(endpoint.url)

    assert (reply.status, reply.error) == (status, None)
    (request,) = endpoint.received
    assert (request.body, request.headers["content-type"]) == (BODY, "application/json")
    assert request.headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_what_is_not_accepted_quotes_the_answer_but_nothing_that_was_sent(
    endpoint: Endpoint, status: int
) -> None:
    said = f"no such hook; you sent {BODY.decode()} to {endpoint.url} with password=hunter2hunter2"
    endpoint.manner = Answer(status, {"Retry-After": "7"}, said.encode())
    reply = await posted(endpoint.url)

    assert (reply.status, reply.retry_after) == (status, 7.0)
    assert reply.error
    assert f"answered {status} no such hook" in reply.error
    assert not [word for word in ("contact.created", "hunter2", endpoint.url) if word in reply.error]


async def test_an_endpoint_that_hangs_costs_its_time_out(endpoint: Endpoint) -> None:
    endpoint.manner = Hang()
    began = time.monotonic()
    reply = await posted(endpoint.url, timeout=TIMEOUT)

    assert (reply.status, reply.error) == (None, "no answer within 0.5 s")
    assert TIMEOUT <= time.monotonic() - began < TIMEOUT + 2


async def test_a_body_that_drips_for_ever_does_not_undo_its_status(endpoint: Endpoint) -> None:
    endpoint.manner = Drip()
    began = time.monotonic()
    reply = await posted(endpoint.url, timeout=TIMEOUT)

    assert (reply.status, reply.error) == (200, None)
    assert time.monotonic() - began < 5


@asynccontextmanager
async def raw_server(*parts: bytes, pause: float = 0.05, repeat: bool = True) -> AsyncIterator[str]:
    """A server that sends these bytes to whoever connects, and goes on with the last ones for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            while repeat:
                await asyncio.sleep(pause)
                writer.write(parts[-1])
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\n"


async def test_a_head_that_drips_for_ever_costs_the_time_out() -> None:
    async with raw_server(HEAD, b"x-a: b\r\n") as url:
        reply = await posted(url, timeout=TIMEOUT)
    assert (reply.status, bool(reply.error)) == (None, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff garbage\r\n\r\n",
        HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        HEAD + b"a: b\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
async def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    async with raw_server(answer, repeat=False) as url:
        reply = await posted(url, timeout=2.0)
    assert bool(reply.error)
    assert len(reply.error or "") < 400


@pytest.mark.parametrize("manner", [ENDLESS, BOMB])
async def test_a_large_answer_and_a_decompression_bomb_cost_no_memory(endpoint: Endpoint, manner: Answer) -> None:
    endpoint.manner = manner
    async with opened() as client:
        await client.post(endpoint.url, {}, BODY)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.monotonic()
        replies = [await client.post(endpoint.url, {}, BODY) for _ in range(5)]

    assert {one.status for one in replies} == {manner.status}
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # kilobytes


async def test_cookies_of_one_endpoint_reach_no_other(endpoint: Endpoint) -> None:
    endpoint.manner = Answer(200, {"Set-Cookie": "tenant=a; Path=/"})
    async with opened() as client:
        for _ in range(2):
            await client.post(endpoint.url, {}, BODY)
    assert not any("cookie" in one.headers for one in endpoint.received)


async def test_a_proxy_of_the_environment_is_not_used(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert (await posted(endpoint.url)).error is None


async def test_a_certificate_that_is_not_trusted_is_a_failure(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command = ["openssl", "req", *words, "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    reply = await posted(f"https://localhost:{server.sockets[0].getsockname()[1]}/", timeout=2.0)
    server.close()

    assert (reply.status, got) == (None, [])
    assert "certificate" in str(reply.error).lower()


async def test_nobody_listens(endpoint: Endpoint) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reply = await posted(f"http://127.0.0.1:{port}/secret-path")
    assert (reply.status, "secret-path" in str(reply.error)) == (None, False)


async def test_a_closed_client_says_so() -> None:
    client = WebhookClient(True, 1.0)
    with pytest.raises(Transient, match="closed"):
        await client.post("http://127.0.0.1/", {}, BODY)
