"""An SMTP server that keeps every byte and follows a script of what to do at which step, on any of its connections.

Steps: greeting, EHLO, AUTH, MAIL, RCPT, DATA, `.` (the end of the message), RSET, QUIT.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

CUT, HANG = "cut", "hang"

USUAL = {"greeting": "220 here", "EHLO": "250-here\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye"}


class ScriptedSmtp:
    """`async with ScriptedSmtp() as server`."""

    def __init__(self) -> None:
        self.url = ""
        self.script: dict[str, deque[str]] = defaultdict(deque)
        """{step: answers that are used up one by one}; an answer may be CUT or HANG."""
        self.steps: list[str] = []
        """Every step so far, over all connections."""
        self.messages: list[bytes] = []
        """What came between DATA and the final dot, untouched."""
        self.accepted: list[bytes] = []
        """Those of them that it took, whether it said so or not."""
        self.seconds = 0.0
        """How long it takes before it takes a message."""
        self.times: list[tuple[datetime, datetime]] = []
        """Of each of the accepted: when its MAIL came, and when it was taken."""
        self.open = self.most_open = self.connections = 0
        self.reached: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """{step: set once it was reached}."""
        self._begun: dict[asyncio.StreamWriter, datetime] = {}
        self._closing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        self._closing.set()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self._begun.pop(writer, None)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step = "greeting"
        while await self._answer(step, writer) and step != "QUIT":
            if step == "DATA":
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                step = "."
                continue
            line = await reader.readline()
            if not line:
                return
            step = line.split(maxsplit=1)[0].decode().upper()

    async def _answer(self, step: str, writer: asyncio.StreamWriter) -> bool:
        """False when the dialogue is over, or when DATA was refused."""
        self.steps.append(step)
        self.reached[step].set()
        answer = self.script[step].popleft() if self.script[step] else USUAL.get(step, "250 fine")
        if step == "MAIL":
            self._begun[writer] = datetime.now(UTC)
        if step == "." and not answer.startswith(("4", "5")):
            message = self.messages[-1]  # ours: nothing was awaited since it came
            await asyncio.sleep(self.seconds)
            self.accepted.append(message)
            self.times.append((self._begun[writer], datetime.now(UTC)))
        if answer == HANG:
            await self._closing.wait()
            return False
        if answer == CUT:
            writer.transport.abort()
            return False
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        return not (step == "DATA" and not answer.startswith("3"))
