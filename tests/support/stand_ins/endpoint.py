"""An endpoint of a tenant on loopback, which receives webhooks and misbehaves as the test sets it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from types import TracebackType
from typing import Any, Self

import pytest
from aiohttp import web
from standardwebhooks import webhooks as standard

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Answer so, `after` seconds."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: float = 0.0


@dataclass(frozen=True)
class Hang:
    """Never answer."""


@dataclass(frozen=True)
class Drip:
    """Answer 200, and then send a byte of the body now and then for ever."""


ENDLESS = Answer(200, {}, b"x" * (10 * MEGABYTE))
BOMB = Answer(500, {"Content-Encoding": "gzip"}, gzip.compress(b"\0" * (100 * MEGABYTE), 9))

Manner = Answer | Hang | Drip


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        """The body, read without looking at the signature."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verified(self, secret: str, **ahead: float) -> Any:
        """The content, as the package `standardwebhooks` returns it that receivers use; its clock is `ahead`."""

        class Ahead(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + timedelta(**ahead)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(standard, "datetime", Ahead)
            return standard.Webhook(secret).verify(self.body, self.headers)


class Endpoint:
    """`url` and `received`; `next` for how to treat the next requests, and `manner` for the rest."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.next: deque[Manner] = deque()
        self.manner: Manner = Answer(204)
        self.at_once = 0
        self.most_at_once = 0
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner:
            await self._runner.cleanup()

    @property
    def ids(self) -> list[str]:
        """`webhook-id` of every request, in their order."""
        return [one.id for one in self.received]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.received.append(Received(request.path, headers, await request.read()))
            return await self._behave(request, self.next.popleft() if self.next else self.manner)
        finally:
            self.at_once -= 1

    async def _behave(self, request: web.Request, manner: Manner) -> web.StreamResponse:
        if isinstance(manner, Answer):
            await asyncio.sleep(manner.after)
            return web.Response(status=manner.status, headers=manner.headers, body=manner.body)
        if isinstance(manner, Hang):
            await self._closing.wait()
            return web.Response()
        answer = web.StreamResponse()
        await answer.prepare(request)
        while not self._closing.is_set():
            await answer.write(b"x")
            await asyncio.wait([asyncio.ensure_future(self._closing.wait())], timeout=0.05)
        return answer
