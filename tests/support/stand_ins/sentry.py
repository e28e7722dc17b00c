"""Sentry: takes envelopes and keeps the events in them."""

from __future__ import annotations

import gzip
import json
from typing import Any

from aiohttp import web

from tests.support.stand_ins.stand_in import Call, Document, StandIn


class Sentry(StandIn):
    """`dsn`: where to report. `text`: everything that arrived, as it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    @property
    def dsn(self) -> str:
        return self.url.replace("://", "://key@") + "/7"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [call.content for call in self.calls]

    async def read(self, request: web.Request) -> Document:
        body = await request.read()
        text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()
        self.text += text
        event: Document = json.loads(text.splitlines()[2])  # after the envelope's head and the item's
        return event

    def do(self, call: Call) -> web.Response:
        return web.json_response({"id": call.content.get("event_id")})
