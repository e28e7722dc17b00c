"""An S3 that knows HEAD and CopyObject only, and answers a copy as the test sets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from aiohttp import web

WELL = '<CopyObjectResult><ETag>"{etag}"</ETag></CopyObjectResult>'


@dataclass
class S3Copy:
    """`async with S3Copy(...) as s3`: `objects` are (size, ETag) by key."""

    objects: dict[str, tuple[int, str]]
    answers: list[str] = field(default_factory=list)
    """Bodies of the next answers to a copy, each with status 200; then it copies as it should."""
    heads: int = 0
    copies: int = 0
    url: str = ""
    bucket: str = "files"
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("HEAD", "/{bucket}/{key:.*}", self._head)
        app.router.add_put("/{bucket}/{key:.*}", self._copy)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _head(self, request: web.Request) -> web.Response:
        self.heads += 1
        found = self.objects.get(request.match_info["key"])
        if found is None:
            return web.Response(status=404)
        size, etag = found
        return web.Response(headers={"ETag": f'"{etag}"', "Content-Length": str(size)})

    async def _copy(self, request: web.Request) -> web.Response:
        self.copies += 1
        if self.answers:
            return web.Response(text=self.answers.pop(0), content_type="application/xml")
        source = unquote(request.headers["x-amz-copy-source"]).split("/", 1)[1]
        self.objects[request.match_info["key"]] = self.objects[source]
        return web.Response(text=WELL.format(etag=self.objects[source][1]), content_type="application/xml")
