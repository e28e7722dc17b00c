"""Stands in front of the real S3 and answers copies as the test sets it; everything else goes through."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Literal, Self

from aiohttp import ClientSession, web
from yarl import URL

Misdeed = Literal["503", "error in 200", "503, done", "broken off, done", "hang", "hang, done"]
BUSY = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
BROKEN = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive"}


class S3Gateway:
    """`async with S3Gateway(endpoint) as s3`: `s3.url`; `s3.next` are what happens to the next copies, of which those
    with "done" are made nevertheless. `s3.refused` counts them."""

    def __init__(self, endpoint: str) -> None:
        self.url = ""
        self.next: deque[Misdeed] = deque()
        self.refused = 0
        self._endpoint = endpoint
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._session = ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()
        await self._session.close()

    async def _answer(self, request: web.Request) -> web.Response:
        if "x-amz-copy-source" not in request.headers or not self.next:
            return await self._forward(request)
        misdeed = self.next.popleft()
        self.refused += 1
        if "done" in misdeed:
            await self._forward(request)
        if "hang" in misdeed:
            await self._closing.wait()
        if "broken off" in misdeed and request.transport:
            request.transport.abort()
        if "503" in misdeed:
            return web.Response(status=503, text=BUSY, content_type="application/xml")
        return web.Response(text=BROKEN, content_type="application/xml")

    async def _forward(self, request: web.Request) -> web.Response:
        """As it came, host and path included: the signature is over both."""
        target = URL(self._endpoint + request.raw_path, encoded=True)
        body = await request.read()
        async with self._session.request(request.method, target, headers=request.headers, data=body) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            return web.Response(status=answer.status, headers=dict(kept), body=await answer.read())
