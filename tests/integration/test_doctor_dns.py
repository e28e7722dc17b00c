"""What `doctor` says about the DNS records of the domains that mails come from, asked of a real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.asyncresolver import Resolver

from pipeline_engine.cli.doctor.finding import Finding, Level
from pipeline_engine.cli.doctor.mail import check_domain

GOOD = {
    "good.example.": ["google-site-verification=x", "v=spf1 mx -all"],
    "s1._domainkey.good.example.": ["v=DKIM1; k=rsa; p=MIGfMA0"],
    "_dmarc.good.example.": ["v=DMARC1; p=reject"],
    "mail.good.example.": ["v=spf1 -all"],
    "s1._domainkey.mail.good.example.": ["p=MIGfMA0"],
    "twice.example.": ["v=spf1 mx -all", "v=spf1 -all"],
    "s1._domainkey.twice.example.": ["v=DKIM1; p="],
}


class TxtServer(asyncio.DatagramProtocol):
    """Answers questions for TXT records."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        name = question.question[0].name
        answer = dns.message.make_response(question)
        if texts := GOOD.get(name.to_text()):
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", "TXT", [f'"{one}"' for one in texts]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


def asking(port: int) -> Resolver:
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 0.5
    return resolver


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(TxtServer, ("127.0.0.1", 0))
    yield asking(transport.get_extra_info("sockname")[1])
    transport.close()


def texts(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings]


@pytest.mark.parametrize("domain", ["good.example", "mail.good.example"])
async def test_all_is_well(resolver: Resolver, domain: str) -> None:
    (finding,) = await check_domain(resolver, domain, "s1")
    assert (finding.level, finding.text) == (Level.OK, f"{domain}: SPF, DKIM (s1), DMARC")


async def test_what_is_missing_has_a_line_each(resolver: Resolver) -> None:
    found = await check_domain(resolver, "bad.example", "s1")
    assert {finding.level for finding in found} == {Level.WARNING}
    assert texts(found) == [
        "bad.example: no SPF record",
        "bad.example: no DKIM key at s1._domainkey.bad.example",
        "bad.example: no DMARC record at _dmarc.bad.example",
    ]


async def test_two_spf_records_and_a_revoked_key(resolver: Resolver) -> None:
    found = texts(await check_domain(resolver, "twice.example", "s1"))
    assert "2 SPF records" in found[0]
    assert "is revoked" in found[1]


async def test_without_a_selector_it_says_that_dkim_is_not_checked(resolver: Resolver) -> None:
    assert "DKIM not checked" in texts(await check_domain(resolver, "good.example", None))[0]


async def test_it_says_when_dns_does_not_answer() -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    (finding,) = await check_domain(asking(transport.get_extra_info("sockname")[1]), "good.example", "s1")
    transport.close()
    assert (finding.level, "DNS does not answer" in finding.text) == (Level.WARNING, True)
