"""Mail: whether receivers can unsubscribe, and what DNS says about the domains that mails come from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer
from pymongo.errors import PyMongoError

from pipeline_engine.app import open_mongo
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.errors import ConfigError, EngineError
from pipeline_engine.providers.smtp_server import read_sender
from pipeline_engine.settings import Settings

SUBJECT = "mail"
DNS_TIMEOUT = 3.0
"""Seconds for all attempts at one record."""
MAX_DOMAINS = 10


async def check(settings: Settings) -> list[Finding]:
    """Nothing where neither SMTP_FROM nor a mailbox says where mails come from."""
    domains = await _domains(settings)
    resolver = _resolver() if domains else None
    if resolver is None:
        return [*_public_url(settings), *([_silent(", ".join(domains))] if domains else [])]
    found = await asyncio.gather(*(check_domain(resolver, one, settings.dkim_selector) for one in domains))
    return [*_public_url(settings), *(finding for findings in found for finding in findings)]


def _public_url(settings: Settings) -> list[Finding]:
    if not settings.smtp_url:
        return []
    if settings.public_url:
        return [Finding.ok(SUBJECT, f"receivers unsubscribe at {settings.public_url.rstrip('/')}/u/…")]
    reason = "mails go out without List-Unsubscribe, which large providers want"
    return [Finding.warning(SUBJECT, f"PUBLIC_URL is not set: {reason}; set it to where HTTP is reached from outside")]


async def _domains(settings: Settings) -> list[str]:
    """The domains of SMTP_FROM and of mailboxes that send, each once."""
    own: list[str] = []
    if settings.smtp_from:
        with suppress(ConfigError):  # a finding among the settings says so
            own.append(read_sender(settings.smtp_from).domain.lower())
    try:
        async with AsyncExitStack() as stack:
            database = await open_mongo(settings, stack)
            sending = {"active": True, "smtp": {"$exists": True}}
            names = await database["email_accounts"].distinct("username", sending)
    except (EngineError, PyMongoError):
        names = []
    boxes = (str(name).rpartition("@")[2].lower() for name in names if "@" in str(name))
    return list(dict.fromkeys([*own, *boxes]))[:MAX_DOMAINS]


def _resolver() -> Resolver | None:
    """None where this host names no DNS server."""
    try:
        resolver = Resolver()
    except (DNSException, OSError):
        return None
    resolver.lifetime = DNS_TIMEOUT
    return resolver


async def check_domain(resolver: Resolver, domain: str, selector: str | None) -> list[Finding]:
    """SPF, DKIM and DMARC of a domain that mails come from: one line when all is well, else one for each fault."""
    try:
        faults = [fault async for fault in _faults(resolver, domain, selector)]
    except (DNSException, OSError):
        return [_silent(domain)]
    if faults:
        return [Finding.warning(SUBJECT, f"{domain}: {fault}") for fault in faults]
    dkim = f"DKIM ({selector})" if selector else "DKIM not checked without DKIM_SELECTOR"
    return [Finding.ok(SUBJECT, f"{domain}: SPF, {dkim}, DMARC")]


async def _faults(resolver: Resolver, domain: str, selector: str | None) -> AsyncIterator[str]:
    spf = [text for text in await _texts(resolver, domain) if text.lower().split(" ")[0] == "v=spf1"]
    if len(spf) != 1:
        yield "no SPF record" if not spf else f"{len(spf)} SPF records, of which receivers accept none: leave one"
    if selector:
        keys = [text for text in await _texts(resolver, f"{selector}._domainkey.{domain}") if "p=" in text]
        if not keys:
            yield f"no DKIM key at {selector}._domainkey.{domain}"
        elif all(key.partition("p=")[2].strip(" ;") == "" for key in keys):
            yield f"the DKIM key at {selector}._domainkey.{domain} is revoked"
    if not await _has_dmarc(resolver, domain):
        yield f"no DMARC record at _dmarc.{domain}"


async def _has_dmarc(resolver: Resolver, domain: str) -> bool:
    """A domain without a record of its own is under that of the organisation's domain above it."""
    for name in _and_above(domain):
        if any(text.lower().startswith("v=dmarc1") for text in await _texts(resolver, f"_dmarc.{name}")):
            return True
    return False


def _and_above(domain: str) -> Iterator[str]:
    labels = domain.split(".")
    yield from (".".join(labels[n:]) for n in range(max(1, len(labels) - 1)))


async def _texts(resolver: Resolver, name: str) -> list[str]:
    """The TXT records of the name. Raises: DNSException when DNS does not answer."""
    try:
        answer = await resolver.resolve(name, "TXT")
    except (NXDOMAIN, NoAnswer):
        return []
    return [b"".join(one.strings).decode(errors="replace") for one in answer]


def _silent(domain: str) -> Finding:
    return Finding.warning(SUBJECT, f"{domain}: DNS does not answer here, so SPF, DKIM and DMARC are not checked")
