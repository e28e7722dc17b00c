"""A TCP proxy on loopback that breaks what goes through it, as tests set it while it runs.

It knows nothing of the protocol, so it serves MongoDB, Redis, S3 and SMTP alike.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST, not FIN
PIECE = 64 * 1024


@dataclass(frozen=True, eq=False)  # each fault set anew counts anew, so a fault equals only itself
class Fault:
    """What happens to traffic. `Fault()` passes everything."""

    delay: float = 0.0  # seconds before each piece goes on, both ways
    hang: bool = False  # connections stay open and nothing moves; what was sent moves on when this ends
    cut_after: int | None = None  # a connection is reset before byte n + 1 of its answers; 0: done, but never answered
    times: int | None = None  # how many of these cuts before all passes again; None: for ever


class Proxy:
    """One listening port in front of one server: `async with Proxy(host, port) as proxy`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = "127.0.0.1", 0  # the proxy's own address; the port is known once it has started
        self.accepted = 0  # connections so far
        self.arrival = asyncio.Event()  # set by each new connection; clear it, then wait for the next
        self.cuts = 0  # resets by `cut_after` so far
        self.target = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Event()
        self.set(Fault())

    @classmethod
    def before(cls, url: str) -> Self:
        """A proxy in front of the server that a URL names."""
        parts = urlsplit(url)
        assert parts.port, f"{url} names no port"
        return cls(parts.hostname or "127.0.0.1", parts.port)

    def instead_of(self, url: str) -> str:
        """The same URL, led through this proxy."""
        parts = urlsplit(url)
        return url.replace(f"{parts.hostname}:{parts.port}", f"{self.host}:{self.port}", 1)

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def accept(self) -> None:
        """Listen; after `refuse` again, on the same port."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Reset what is open and refuse every new connection."""
        if self._server:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Reset what is open; new connections are served."""
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def set(self, fault: Fault) -> None:
        """From now on do this to all traffic, that of open connections included."""
        self.fault = fault
        self._cuts_left = fault.times
        if fault.hang:
            self._moving.clear()
        else:
            self._moving.set()

    def heal(self) -> None:
        """From now on do no harm."""
        self.set(Fault())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.accepted += 1
        self.arrival.set()
        self._connections.add(task)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:  # by `cut`; asyncio's server would report it as an error
            _reset(writer)
        finally:
            self._connections.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer))
                pumps.create_task(self._pump(far_reader, writer, answers=True))
        except* OSError:
            _reset(writer)
            _reset(far_writer)
        finally:
            writer.close()
            far_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool = False) -> None:
        fault, passed = self.fault, 0
        while piece := await reader.read(PIECE):
            await self._moving.wait()
            await asyncio.sleep(self.fault.delay)
            if fault is not self.fault:
                fault, passed = self.fault, 0
            if answers and fault.cut_after is not None and passed + len(piece) > fault.cut_after and self._may_cut():
                writer.write(piece[: max(0, fault.cut_after - passed)])
                await writer.drain()
                raise ConnectionResetError("cut on purpose")
            writer.write(piece)
            await writer.drain()
            passed += len(piece)
        writer.write_eof()

    def _may_cut(self) -> bool:
        if self._cuts_left == 0:
            return False
        if self._cuts_left is not None:
            self._cuts_left -= 1
        self.cuts += 1
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    endpoint = writer.get_extra_info("socket")
    with suppress(OSError):  # both sides may have closed at once
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
