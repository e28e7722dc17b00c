"""Posts webhooks to endpoints that tenants name, so that no endpoint can make the engine reach inside or wait long.

https only, public addresses only (see `public_host`), no redirects, no cookies, no proxy, no decompression, one
deadline for everything, at most 1 MB of the answer.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.public_host import Lookup, PublicHosts
from pipeline_engine.providers.replies import quote_reply

MAX_URL_CHARS = 2048
MAX_ANSWER_BYTES = 1024 * 1024
BODY_SECONDS = 2.0
"""For the body of an answer. The status decides, and has come by then."""
MAX_RETRY_SECONDS = 86400.0
"""The longest wait that an endpoint can ask for by Retry-After."""
HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "pipeline-engine-webhooks/1",
}


@dataclass(frozen=True)
class Reply:
    """How an attempt ended. `status` is None when no answer came; `error` is None when the endpoint accepted it."""

    status: int | None
    ms: int
    error: str | None
    retry_after: float = 0.0
    """The seconds that the endpoint asked to be left alone."""


class WebhookClient:
    """`async with WebhookClient(...) as client`."""

    def __init__(self, allow_private: bool, timeout: float, lookup: Lookup = socket.getaddrinfo) -> None:
        """`allow_private`: private hosts and plain http as well. `timeout`: the seconds that an endpoint has for its
        answer, the lookup of its name included."""
        self._hosts = PublicHosts(allow_private, lookup)
        self._timeout = timeout
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No limit on connections: deliveries limit them. Without the cache, each connection goes to what was checked
        # for it.
        connector = TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=_Resolver(self._hosts),
            happy_eyeballs_delay=None,
            socket_factory=self._socket,
        )
        self._session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=None),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers=HEADERS,
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()
        self._hosts.close()

    async def post(self, url: object, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post the body once. Every fault of the endpoint, its URL included, is part of the reply.

        No error quotes the URL or the body. Raises: Transient when the client is closed.
        """
        if self._session is None:
            raise Transient("the client of webhooks is closed")
        started = monotonic()
        try:
            async with asyncio.timeout(self._timeout), failpoint("webhooks.post"):
                target = read_url(url, self._hosts.allow_private)
                answer = await self._session.post(target, headers=headers, data=body, allow_redirects=False)
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except (Permanent, Transient) as failure:
            error = str(failure)
        except (ClientError, OSError, ValueError) as failure:
            error = _error_of(failure, str(url))
        else:
            return await _read(answer, _ms(started), [body.decode(), str(url), *headers.values()])
        return Reply(None, _ms(started), error)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """The last check: whatever the URL says and whoever resolved it, this is what will be connected to."""
        family, type, protocol, _, where = address
        try:
            self._hosts.check(str(where[0]))
        except Permanent as refusal:
            raise _Refused(errno.EACCES, str(refusal)) from None
        return socket.socket(family, type, protocol)


class _Refused(OSError):
    """What aiohttp gets when it may not connect to an address: it passes no other kind of error on."""


class _Resolver(AbstractResolver):
    def __init__(self, hosts: PublicHosts) -> None:
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=_numeric(where), port=port, family=kind, proto=0, flags=0)
            for kind, _, _, _, where in await self._hosts.resolve(host, port, family)
        ]

    async def close(self) -> None:
        """The client closes the hosts."""


def _numeric(where: Sequence[Any]) -> str:
    return str(where[0])


def read_url(url: object, allow_private: bool) -> URL:
    """The URL of an endpoint. Raises: Permanent `url`, which does not quote it."""
    if not isinstance(url, str) or not url or len(url) > MAX_URL_CHARS or not url.isprintable():
        raise Permanent(f"its url is not a text of 1 to {MAX_URL_CHARS} printable characters", "url")
    try:
        found = URL(url)
        port = found.port
    except (ValueError, TypeError):
        raise Permanent("its url is not valid", "url") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if found.scheme not in schemes:
        raise Permanent(f"its url must begin with {' or '.join(f'{one}://' for one in schemes)}", "url")
    if not found.host or port is None or not 0 < port < 65536:
        raise Permanent("its url names no host, or a port that is none", "url")
    if found.user is not None or found.password is not None:
        raise Permanent("its url must not hold a user or password", "url")
    return found


def retry_after(header: str | None, now: datetime) -> float:
    """The seconds that a Retry-After header asks for, as seconds or as a date; 0 without one that can be read."""
    text = (header or "").strip()[:100]
    try:
        asked = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return 0.0
    return min(max(asked, 0.0), MAX_RETRY_SECONDS)


def _error_of(failure: Exception, url: str) -> str:
    if isinstance(failure, ClientConnectorError) and isinstance(failure.os_error, _Refused):
        return str(failure.os_error.strerror)
    return quote_reply(str(failure) or type(failure).__name__, (url,))


def _reason(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


async def _read(answer: ClientResponse, ms: int, sent: Sequence[str]) -> Reply:
    """The reply of an answer whose head has come. `sent` is what it must not quote."""
    async with answer:
        content = await _body(answer)
    if 200 <= answer.status < 300:
        return Reply(answer.status, ms, None)
    is_text = "Content-Encoding" not in answer.headers
    said = quote_reply(content.decode(errors="replace"), sent) if is_text else ""
    wait = retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
    return Reply(answer.status, ms, f"{_reason(answer.status)} {said}".strip(), wait)


async def _body(answer: ClientResponse) -> bytes:
    """The beginning of the answer's body; a connection with more of it is closed."""
    body = bytearray()
    with suppress(ClientError, OSError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            async for block in answer.content.iter_any():
                body += block
                if len(body) >= MAX_ANSWER_BYTES:
                    break
    if not answer.content.at_eof():
        answer.close()
    return bytes(body[:MAX_ANSWER_BYTES])


def _ms(started: float) -> int:
    return round((monotonic() - started) * 1000)
