"""Calls to web APIs that change nothing there which a repeated call would change again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.effect_api import CALL_TIMEOUT, retry_after
from pipeline_engine.providers.public_connector import refusal_of
from pipeline_engine.providers.replies import quote_reply

CONNECT_TIMEOUT = 5.0
MAX_ANSWER_BYTES = 1024 * 1024


def _connector() -> TCPConnector:
    return TCPConnector(limit=0)


@dataclass(frozen=True)
class WebAnswer:
    """What a server answered: `content` is its JSON object, or {}."""

    status: int
    headers: Mapping[str, str]
    content: Mapping[str, Any]
    text: str
    """The beginning of the body, for messages."""


class WebApi:
    """`async with WebApi(...) as api`."""

    def __init__(
        self,
        name: str,
        timeout: float = CALL_TIMEOUT,
        max_bytes: int = MAX_ANSWER_BYTES,
        connector: Callable[[], TCPConnector] = _connector,
        decompress: bool = True,
    ) -> None:
        """`name` appears in messages and, in lower case, in the failpoint's name. `timeout`: seconds of a call.
        `decompress`: False for servers that a tenant names, so that a small answer cannot become a huge one."""
        self.name = name
        self._failpoint = name.lower().replace(" ", "_")
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._connector = connector
        self._decompress = decompress
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = ClientTimeout(total=None, connect=min(CONNECT_TIMEOUT, self._timeout / 2))
        self._session = ClientSession(
            connector=self._connector(),
            timeout=timeout,
            cookie_jar=DummyCookieJar(),
            auto_decompress=self._decompress,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def call(self, method: str, url: Any, sent: Sequence[str] = (), **request: Any) -> WebAnswer:
        """Make a call with `request` for aiohttp, and return whatever the server answers. Redirects are not followed.

        No error quotes the URL or what was `sent`. Raises: Transient without an answer, Permanent `too_large`,
        `private_host` where the connector refuses the address.
        """
        if self._session is None:
            raise Transient(f"{self.name} is closed")
        private = [str(url), *sent]
        try:
            async with (
                asyncio.timeout(self._timeout),
                failpoint(f"{self._failpoint}.{method.lower()}"),
                self._session.request(method, url, allow_redirects=False, **request) as answer,
            ):
                body = await self._body(answer)
                return WebAnswer(answer.status, answer.headers, _object(body), body[:1024].decode(errors="replace"))
        except TimeoutError:
            raise Transient(f"{self.name} did not answer within {self._timeout:g} s") from None
        except (ClientError, OSError, ValueError) as failure:
            if refusal := refusal_of(failure):
                raise Permanent(f"{self.name}: {refusal}", "private_host") from None
            raise Transient(f"{self.name}: {quote_reply(str(failure) or type(failure).__name__, private)}") from None

    async def _body(self, answer: ClientResponse) -> bytes:
        body = bytearray()
        async for block in answer.content.iter_any():
            body += block
            if len(body) > self._max_bytes:
                answer.close()
                raise Permanent(f"{self.name} answers with more than {self._max_bytes:,} bytes", "too_large")
        return bytes(body)

    def accepted(self, answer: WebAnswer, sent: Sequence[str] = ()) -> Mapping[str, Any]:
        """The content of an answer that says yes.

        Raises: RateLimited (429), Transient (5xx, 408, 425), Permanent `http_<status>` (any other).
        """
        if 200 <= answer.status < 300:
            return answer.content
        said = f"{answer.status} {quote_reply(_reason(answer), sent)}".strip()
        if answer.status == 429:
            after = retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
            raise RateLimited(after, f"{self.name} says: {said}")
        if answer.status >= 500 or answer.status in (408, 425):
            raise Transient(f"{self.name} fails: {said}")
        raise Permanent(f"{self.name} refuses: {said}", f"http_{answer.status}")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(answer: WebAnswer) -> str:
    error = answer.content.get("error")
    said = answer.content.get("message") or (error.get("message") if isinstance(error, dict) else error)
    return str(said or answer.text)
