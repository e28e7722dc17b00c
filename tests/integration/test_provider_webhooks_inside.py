"""The client of webhooks reaches nothing inside, however it is spelled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from yarl import URL

from pipeline_engine.providers.public_host import AddressInfo
from pipeline_engine.providers.webhooks import Reply, WebhookClient
from tests.support.stand_ins.endpoint import Endpoint
from tests.support.webhook_client import BODY, opened, posted

SPELLINGS = [
    *(
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",  # noqa: S104
    ),
    *("localhost", "localhost.", "LOCALHOST", "127.0.0.1.", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::7f00:1]", "[fe80::1]", "[fd00:ec2::254]", "169.254.169.254", "10.0.0.1", "192.168.0.1", "100.64.0.1"),
]


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_no_spelling_of_an_inner_address_is_connected_to(endpoint: Endpoint, host: str, scheme: str) -> None:
    port = URL(endpoint.url).port
    connections: list[object] = []

    async with opened(allow_private=False, timeout=2.0) as client:
        reply = await _posted_by_any_scheme(client, f"{scheme}://{host}:{port}/hook", connections)

    assert (reply.status, endpoint.received, connections) == (None, [], [])
    reasons = ("is not on the public internet", "is not a canonical IPv4 address", "has no address")
    assert any(one in str(reply.error) for one in reasons)


async def _posted_by_any_scheme(client: WebhookClient, url: str, connections: list[object]) -> Reply:
    """Post past the rule about the scheme, so that only the checks of addresses stand in the way."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def watched(sock: socket.socket, address: Any) -> None:
        connections.append(address)
        await connect(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline_engine.providers.webhooks.read_url", lambda url, _private: URL(url))
        patch.setattr(loop, "sock_connect", watched)
        return await client.post(url, {}, BODY)


ODD_URLS = [
    *("gopher://127.0.0.1:6379/_INFO", "file:///etc/passwd", "http://example.com/", "dict://127.0.0.1:6379/", "", None),
    *(
        "https://good@127.0.0.1/",
        "https://127.0.0.1#@good.example/",
        "https://127.0.0.1\\@good.example/",
        "https://[::1",
    ),
    *(
        "https://127.0.0.1 /",
        "https://a" + ".a" * 200 + "/",
        "https://" + "a" * 70 + ".example/",
        "https://..",
        "javascript:1",
    ),
]


@pytest.mark.parametrize("url", ODD_URLS)
async def test_an_odd_url_is_a_failure_with_a_reason(url: object) -> None:
    reply = await posted(url, allow_private=False, timeout=2.0)
    assert (reply.status, bool(reply.error)) == (None, True)


class Names:
    """A name server whose answers change, and that counts how often it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, _host: str, port: int, **_options: Any) -> list[AddressInfo]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer]


async def test_a_name_that_turns_private_after_the_check_is_of_no_use(endpoint: Endpoint) -> None:
    port = URL(endpoint.url).port
    names = Names(["192.0.2.7"], ["127.0.0.1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline_engine.providers.public_host.is_public", lambda address: address != "127.0.0.1")
        reply = await posted(f"https://hooks.example.com:{port}/", allow_private=False, timeout=0.5, lookup=names)

    assert names.asked == 1  # the connection goes to what was checked
    assert (reply.status, endpoint.received) == (None, [])


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
async def test_a_name_that_has_a_private_address_is_refused(endpoint: Endpoint, answer: list[str]) -> None:
    port = URL(endpoint.url).port
    reply = await posted(f"https://hooks.example.com:{port}/", allow_private=False, lookup=Names(answer))

    assert reply.error == "its host is not on the public internet"
    assert endpoint.received == []
