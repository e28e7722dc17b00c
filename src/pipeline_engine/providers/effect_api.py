"""Calls to a web API that have an effect. The error of a failed call says whether the effect may have happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    InvalidURL,
    TCPConnector,
)

from pipeline_engine.errors import Permanent, RateLimited, Transient, Unknown
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.replies import quote_reply

CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 20.0
MAX_ANSWER_BYTES = 64 * 1024
DEFAULT_RETRY_SECONDS, MAX_RETRY_SECONDS = 5.0, 3600.0  # after a 429

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""

NOT_SENT = (ClientConnectorError, ConnectionTimeoutError)


class CallRefused(Permanent):
    """The API refuses the call. `reason`: the code that its answer gives for that, if any."""

    def __init__(self, message: str, status: int, reason: object) -> None:
        super().__init__(message, f"http_{status}")
        self.status = status
        self.reason = reason


class EffectApi:
    """One web API: `async with EffectApi(...) as api`."""

    def __init__(self, name: str, base_url: str, timeout: float = CALL_TIMEOUT) -> None:
        """`name` appears in messages and in the failpoint's name. `timeout`: the seconds that a call may take."""
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A new connection for each call: if a kept one turns out to be closed, it is unknown whether the call arrived.
        # No limit on their number: the lanes limit the calls.
        connector = TCPConnector(limit=0, force_close=True)
        timeout = ClientTimeout(total=None, connect=min(CONNECT_TIMEOUT, self._timeout / 2))
        self._session = ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def post(
        self, path: str, headers: Mapping[str, str], private: Sequence[str] = (), **request: Any
    ) -> dict[str, Any]:
        """Make a call with `request` for aiohttp (`json` or `data`). Returns the answer's JSON object, or {}.

        No error quotes the Authorization header, or `private` texts of the request.

        Raises: RateLimited (429), Permanent (refused), Transient (certainly no effect), Unknown (5xx, or no answer).
        """
        sent = [*headers.get("Authorization", "").split(), *private]
        status, answer_headers, body = await self._exchange(path, headers, request, sent)
        return read_answer(self._name, status, answer_headers, body, sent)

    async def _exchange(
        self, path: str, headers: Mapping[str, str], request: Mapping[str, Any], sent: Sequence[str]
    ) -> Answer:
        if self._session is None:
            raise Transient(f"{self._name} is closed")
        url = self._base_url + path
        try:
            async with (
                asyncio.timeout(self._timeout),
                failpoint(f"{self._name}.post"),
                self._session.post(url, headers=headers, allow_redirects=False, **request) as answer,
            ):
                return answer.status, answer.headers, await _body(answer)
        except NOT_SENT as failure:
            raise Transient(f"{self._name} is away: {quote_reply(failure, sent)}") from None
        except InvalidURL as failure:
            raise Permanent(f"{self._name}: its URL is not valid", "bad_url") from failure
        except (ClientError, OSError, Transient) as failure:
            reason = quote_reply(str(failure) or type(failure).__name__, sent)
            raise Unknown(f"{self._name} had the call and did not answer: {reason}") from None


def read_answer(
    name: str, status: int, headers: Mapping[str, str], body: bytes, sent: Iterable[str] = ()
) -> dict[str, Any]:
    """The JSON object of a successful answer, or {}. Raises: as `EffectApi.post`, without quoting what was `sent`."""
    content = _object(body)
    if 200 <= status < 300:
        return content
    answer = f"{status} {quote_reply(_reason(content, body), sent)}".strip()
    if status == 429:
        raise RateLimited(retry_after(headers.get("Retry-After"), datetime.now(UTC)), f"{name} says: {answer}")
    if status >= 500:
        raise Unknown(f"{name} failed, and may have done it: {answer}")
    if status in (408, 409):  # the request did not arrive in full; a call with the same key is under way
        raise Transient(f"{name} says: {answer}")
    raise CallRefused(f"{name} refuses: {answer}", status, content.get("code"))


def retry_after(header: str | None, now: datetime) -> float:
    """The seconds to wait by a Retry-After header, which holds seconds or a date; between 0 and an hour."""
    text = (header or "").strip()
    try:
        asked = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return DEFAULT_RETRY_SECONDS
    return min(max(asked, 0.0), MAX_RETRY_SECONDS)


async def _body(answer: ClientResponse) -> bytes:
    """The beginning of the answer's body. The status line counts even if the body breaks off."""
    body = bytearray()
    try:
        async for block in answer.content.iter_any():
            body += block
            if len(body) > MAX_ANSWER_BYTES:
                break
    except (ClientError, OSError):
        pass
    return bytes(body[:MAX_ANSWER_BYTES])


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(content: Mapping[str, Any], body: bytes) -> str:
    error = content.get("error")
    said = content.get("message") or (error.get("message") if isinstance(error, dict) else error)
    return str(said or body.decode(errors="replace"))
