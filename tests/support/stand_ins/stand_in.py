"""A small web API on loopback that keeps what it is sent and misbehaves as the test sets it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Document = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """Answer this instead of doing it."""

    status: int
    body: Document = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BreakOff:
    """Do it, and close the connection without an answer."""


@dataclass(frozen=True)
class Hang:
    """Do it, and never answer."""


Misdeed = Say | BreakOff | Hang


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    path: str
    key: str | None
    headers: dict[str, str]
    content: Document
    came_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class StandIn:
    """`async with StandIn() as api`: `api.url`, `api.calls`, and `api.next` for how to treat the next calls."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.next: deque[Misdeed] = deque()
        self.seconds = 0.0
        """How long it takes before it does anything."""
        self.arrival = asyncio.Event()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner:
            await self._runner.cleanup()

    async def read(self, request: web.Request) -> Document:
        """What the request carries."""
        content: Document = await request.json()
        return content

    def do(self, call: Call) -> web.Response:
        """Carry the call out."""
        raise NotImplementedError

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key")
        call = Call(request.path, key, dict(request.headers), await self.read(request))
        self.calls.append(call)
        self.arrival.set()
        misdeed = self.next.popleft() if self.next else None
        if isinstance(misdeed, Say):
            return web.json_response(misdeed.body, status=misdeed.status, headers=misdeed.headers)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        answer = self.do(call)
        if isinstance(misdeed, Hang):
            await self._closing.wait()
        if isinstance(misdeed, BreakOff) and request.transport:
            request.transport.abort()
        return answer
