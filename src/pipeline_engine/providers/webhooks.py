"""Posts webhooks to endpoints that tenants name, so that no endpoint can make the engine reach inside or wait long.

https only, public addresses only (see `public_host`), no redirects, no cookies, no proxy, no decompression, one
deadline for everything, at most 1 MB of the answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from types import TracebackType
from typing import Self

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.public_connector import public_connector, read_url, refusal_of
from pipeline_engine.providers.public_host import Lookup, PublicHosts
from pipeline_engine.providers.replies import quote_reply

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
        self._session = ClientSession(
            connector=public_connector(self._hosts),
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


def retry_after(header: str | None, now: datetime) -> float:
    """The seconds that a Retry-After header asks for, as seconds or as a date; 0 without one that can be read."""
    text = (header or "").strip()[:100]
    try:
        asked = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without a zone
        return 0.0
    return min(max(asked, 0.0), MAX_RETRY_SECONDS)


def _error_of(failure: Exception, url: str) -> str:
    return refusal_of(failure) or quote_reply(str(failure) or type(failure).__name__, (url,))


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
