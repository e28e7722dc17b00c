"""Calls to a web API that have an effect: every end of such a call is told apart by whether it took place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
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

CONNECT = 5.0  # seconds for a connection
PATIENCE = 20.0  # seconds for the whole call
LONGEST_ANSWER = 64 * 1024  # bytes
LONGEST_REASON = 300  # characters of the other side's words that we repeat
USUAL_PAUSE, LONGEST_PAUSE = 5.0, 3600.0  # seconds after a 429

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""

NOT_SENT = (ClientConnectorError, ConnectionTimeoutError)


class EffectApi:
    """One API: `async with EffectApi(...) as api`."""

    def __init__(self, name: str, base_url: str, patience: float = PATIENCE) -> None:
        """`name` stands in messages and names the failpoint; `patience`: the seconds a call may take."""
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._patience = patience
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A connection per call: when a kept one turns out to be closed, nobody could say whether the call went through.
        # No limit: the lanes have theirs.
        connector = TCPConnector(limit=0, force_close=True)
        timeout = ClientTimeout(total=None, connect=min(CONNECT, self._patience / 2))
        self._session = ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def post(self, path: str, headers: Mapping[str, str], **request: Any) -> dict[str, Any]:
        """Make a call; `request` is what aiohttp takes (`json` or `data`). Returns the answer's JSON object, or {}.

        Raises: RateLimited (429), Permanent (refused), Transient (certainly not done), Unknown (5xx, or no answer).
        """
        status, answer_headers, body = await self._exchange(path, headers, request)
        return judge(self._name, status, answer_headers, body)

    async def _exchange(self, path: str, headers: Mapping[str, str], request: Mapping[str, Any]) -> Answer:
        if self._session is None:
            raise Transient(f"{self._name} is closed")
        url = self._base_url + path
        try:
            async with (
                asyncio.timeout(self._patience),
                failpoint(f"{self._name}.post"),
                self._session.post(url, headers=headers, allow_redirects=False, **request) as answer,
            ):
                return answer.status, answer.headers, await _body(answer)
        except NOT_SENT as failure:
            raise Transient(f"{self._name} is away: {failure}") from failure
        except InvalidURL as failure:
            raise Permanent(f"{self._name}: its URL is not valid", "bad_url") from failure
        except (ClientError, OSError, Transient) as failure:
            reason = str(failure) or type(failure).__name__
            raise Unknown(f"{self._name} had the call and did not answer: {reason}") from failure


def judge(name: str, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What an answer means. Raises: as `EffectApi.post`."""
    content = _object(body)
    if 200 <= status < 300:
        return content
    answer = f"{status} {_reason(content, body)}".strip()
    if status == 429:
        raise RateLimited(retry_after(headers.get("Retry-After"), datetime.now(UTC)), f"{name} says: {answer}")
    if status >= 500:
        raise Unknown(f"{name} failed, and may have done it: {answer}")
    if status in (408, 409):  # it gave up waiting for us; it is still at work on the same key
        raise Transient(f"{name} says: {answer}")
    raise Permanent(f"{name} refuses: {answer}", f"http_{status}")


def retry_after(header: str | None, now: datetime) -> float:
    """The seconds that a Retry-After header asks for, whether it holds seconds or a date."""
    text = (header or "").strip()
    try:
        asked = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return USUAL_PAUSE
    return min(max(asked, 0.0), LONGEST_PAUSE)


async def _body(answer: ClientResponse) -> bytes:
    """The beginning of the answer. What it says in its first line counts, also when the rest breaks off."""
    body = bytearray()
    try:
        async for block in answer.content.iter_any():
            body += block
            if len(body) > LONGEST_ANSWER:
                break
    except (ClientError, OSError):
        pass
    return bytes(body[:LONGEST_ANSWER])


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(content: Mapping[str, Any], body: bytes) -> str:
    error = content.get("error")
    said = content.get("message") or (error.get("message") if isinstance(error, dict) else error)
    return str(said or body.decode(errors="replace"))[:LONGEST_REASON]
