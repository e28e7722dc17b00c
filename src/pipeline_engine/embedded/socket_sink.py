"""A Socket.IO service that keeps the events it receives.

Records: {event, payload, auth} per event and {event: "connect", auth, accepted} per attempt to connect.
Behaviour: `refuse` (a reason; "" accepts every connection), `silent` (true: never acknowledge).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pipeline_engine.embedded.ports import HOST, listen
from pipeline_engine.embedded.records import Records

if TYPE_CHECKING:
    from aiohttp.web import AppRunner


class SocketSink:
    """Runs on the caller's event loop."""

    def __init__(self) -> None:
        self.records = Records(refuse="", silent=False)
        self.url = ""
        self._runner: AppRunner | None = None
        self._auth: dict[str, Any] = {}

    def environment(self) -> dict[str, str]:
        return {"SOCKET_URL": self.url, "SOCKET_SINK_URL": self.url}

    async def start(self) -> None:
        await asyncio.sleep(0)  # the programs can start while this one imports
        from aiohttp.web import Application
        from socketio import AsyncServer

        app = Application()
        service = AsyncServer(async_mode="aiohttp")
        service.attach(app)
        service.on("connect", self._connected)
        service.on("*", self._received)
        self.records.attach(app)
        self._runner, port = await listen(app)
        self.url = f"http://{HOST}:{port}"

    async def stop(self, _patience: float = 0) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _connected(self, connection: str, _environ: dict[str, Any], auth: Any = None) -> None:
        from socketio.exceptions import ConnectionRefusedError as Refused

        reason = self.records.behaviour["refuse"]
        self.records.add(event="connect", auth=auth, accepted=not reason)
        if reason:
            raise Refused(reason)
        self._auth[connection] = auth

    async def _received(self, event: str, connection: str, payload: Any = None) -> None:
        self.records.add(event=event, payload=payload, auth=self._auth[connection])
        if self.records.behaviour["silent"]:
            await asyncio.Event().wait()  # socketio acknowledges when this method returns
