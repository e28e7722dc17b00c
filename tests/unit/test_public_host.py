"""Which addresses a tenant's settings may name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.public_connector import read_url
from pipeline_engine.providers.public_host import AddressInfo, PublicHosts, is_public
from pipeline_engine.providers.webhooks import retry_after

NOW = datetime(2026, 1, 2, tzinfo=UTC)
INSIDE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
]
SPELLINGS = ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "", "1.2.3.4.5", "\uff18.8.8.8", " 8.8.8.8"]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "168.63.129.17", "2606:4700::1111", "2a00:1450:4001:80b::200e"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("text", SPELLINGS)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_public_internet_may_be_connected_to(address: str) -> None:
    assert is_public(address)


def answers(*addresses: str) -> Any:
    def lookup(_host: str, port: int, **_options: Any) -> Sequence[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return lookup


async def resolved(lookup: Any, allow_private: bool = False) -> list[AddressInfo]:
    hosts = PublicHosts(allow_private, lookup)
    try:
        return await hosts.resolve("hooks.example.com", 443)
    finally:
        hosts.close()


async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    for order in (("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8")):
        with pytest.raises(Permanent, match="public internet") as refused:
            await resolved(answers(*order))
        assert refused.value.code == "private_host"
        assert "10.0.0.1" not in str(refused.value)  # a tenant does not learn what a name means inside
    assert len(await resolved(answers("8.8.8.8", "1.1.1.1"))) == 2
    assert len(await resolved(answers("10.0.0.1"), allow_private=True)) == 1


async def test_a_name_without_an_address_may_have_one_later() -> None:
    def fails(*_: Any, **_options: Any) -> Sequence[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for lookup in (answers(), fails):
        with pytest.raises(Transient, match="no address"):
            await resolved(lookup)


async def test_a_name_server_that_hangs_holds_up_no_other_thread_of_the_process() -> None:
    released = threading.Event()

    def hangs(*_: Any, **_options: Any) -> Sequence[AddressInfo]:
        released.wait(10)
        return []

    hosts = PublicHosts(False, hangs)
    waiting = [asyncio.create_task(hosts.resolve(f"{n}.example.com", 443)) for n in range(40)]
    try:
        assert await asyncio.wait_for(asyncio.to_thread(lambda: True), 5)
    finally:
        released.set()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        hosts.close()


REFUSED_URLS: list[tuple[object, str]] = [
    (None, "text"),
    (7, "text"),
    ("", "text"),
    ("https://example.com/\n", "printable"),
    ("https://example.com/" + "x" * 2048, "2048"),
    ("gopher://example.com/", "https://"),
    ("file:///etc/passwd", "https://"),
    ("http://example.com/", "https://"),
    ("ftp://example.com/", "https://"),
    ("//example.com/", "https://"),
    ("example.com", "https://"),
    ("https://", "not valid|names no host"),
    ("https:///path", "not valid|names no host"),
    ("https://good@evil.example/", "user or password"),
    ("https://user:word@evil.example/", "user or password"),
    ("https://evil.example:0/", "port"),
    ("https://evil.example:99999/", "not valid"),
    ("https://[::1/", "not valid"),
]


@pytest.mark.parametrize(("url", "word"), REFUSED_URLS)
def test_a_url_that_no_endpoint_can_have_is_refused_without_being_quoted(url: object, word: str) -> None:
    with pytest.raises(Permanent, match=word) as refused:
        read_url(url, allow_private=False)
    assert "evil" not in str(refused.value)


def test_plain_http_is_for_intranets() -> None:
    assert str(read_url("http://hooks.example.com/x", allow_private=True)) == "http://hooks.example.com/x"
    with pytest.raises(Permanent):
        read_url("gopher://hooks.example.com/x", allow_private=True)


def test_a_fragment_hides_no_other_host() -> None:
    assert read_url("https://evil.example#@good.example", allow_private=False).host == "evil.example"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("120", 120.0),
        ("99999999999999999999", 86400.0),
        ("Fri, 02 Jan 2026 00:01:00 GMT", 60.0),
        ("Fri, 02 Jan 2020 00:00:00 GMT", 0.0),
        ("Fri, 02 Jan 2026 00:01:00", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds
