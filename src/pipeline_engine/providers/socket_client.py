"""One Socket.IO connection that protects itself against a misbehaving server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
import socketio
from socketio import packet

DISCONNECT_TIMEOUT = 2.0
MAX_MESSAGE_BYTES = 256 * 1024  # of one incoming frame; the client expects acknowledgements only
HARMLESS = {packet.CONNECT, packet.DISCONNECT, packet.ACK, packet.CONNECT_ERROR}


class _TextPacket(packet.Packet):  # type: ignore[misc]  # the library has no types
    """Turns every incoming packet that is not a plain answer into an event without handler.

    The library would raise an error, or collect attachments until they are complete.
    """

    uses_binary_events = False
    packet_type: int
    data: Any

    def decode(self, encoded_packet: str | bytes) -> int:
        try:
            attachments = super().decode(encoded_packet)
        except (ValueError, TypeError, RecursionError):
            attachments = 1
        if attachments or self.packet_type not in HARMLESS:
            self.packet_type, self.namespace, self.id, self.data = packet.EVENT, "/", None, ["ignored"]
        if self.packet_type == packet.ACK and not isinstance(self.data, list):
            self.data = []
        return 0


class SocketClient:
    """An open connection, made by `connect`. It never reconnects; the caller makes a new one."""

    def __init__(self, client: socketio.AsyncClient, session: aiohttp.ClientSession) -> None:
        self._client, self._session = client, session

    @classmethod
    async def connect(cls, url: str, path: str, token: str, timeout: float) -> Self:
        """Connect and log in within `timeout` seconds.

        Raises: what the library and the network raise; no connection stays open then.
        """
        tracing = aiohttp.TraceConfig()
        tracing.on_request_redirect.append(_refuse_redirect)
        session = aiohttp.ClientSession(trace_configs=[tracing])
        connection = cls(_library_client(session), session)
        try:
            async with asyncio.timeout(timeout):
                await connection._client.connect(
                    url, auth={"token": token}, transports=["websocket"], socketio_path=path, wait_timeout=timeout
                )
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def alive(self) -> bool:
        """Whether an event can be sent now."""
        return bool(self._client.connected and self._client.namespaces)

    async def call(self, name: str, argument: Mapping[str, Any], timeout: float) -> None:
        """Send an event and wait up to `timeout` seconds for its acknowledgement.

        Raises: socketio's BadNamespaceError when it was not sent, its TimeoutError without an acknowledgement.
        """
        await self._client.call(name, argument, timeout=timeout)

    async def close(self) -> None:
        """Disconnect properly, or close the connection if that takes more than 2 s, or when this is cancelled."""
        engine = self._client.eio
        try:
            with suppress(Exception):
                async with asyncio.timeout(DISCONNECT_TIMEOUT):
                    await engine.disconnect(abort=True)
        finally:
            loops = [task for task in (engine.read_loop_task, engine.write_loop_task) if task]
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._session.close()


def _library_client(session: aiohttp.ClientSession) -> socketio.AsyncClient:
    return socketio.AsyncClient(
        reconnection=False,
        serializer=_TextPacket,
        http_session=session,
        request_timeout=DISCONNECT_TIMEOUT / 2,
        websocket_extra_options={"max_msg_size": MAX_MESSAGE_BYTES},
        handle_sigint=False,
        # Without these, the library adds a handler of its own to the logging of the whole process.
        logger=logging.getLogger("socketio"),
        engineio_logger=logging.getLogger("engineio"),
    )


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, _params: aiohttp.TraceRequestRedirectParams
) -> None:
    raise aiohttp.ClientConnectionError("the socket service redirects, which is refused: see SOCKET_URL")
