"""Runs a Python program in a child process, which is started when it is first needed and replaced when it ends.

This is the parent's side; `child_work.py` is the child's.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar, cast

from pipeline_engine.errors import EngineError, Transient
from pipeline_engine.providers.child_work import LENGTH

WRITE_BYTES = 256 * 1024  # written to the pipe at once, so that a large message does not block the event loop

T = TypeVar("T")


class Died(EngineError):
    """The process ended during a dialogue, and so did its replacement."""


class Late(Transient):
    """The process did not finish the dialogue in time: it or the machine is stuck."""


class TookTooLong(EngineError):
    """The dialogue took more processor time than the program allows."""


class ChildProcess:
    """A program and its processes: `async with ChildProcess("package.module", timeout=60) as child`."""

    def __init__(self, module: str, timeout: float, pool_size: int = 1) -> None:
        """`timeout`: seconds of real time for one dialogue; more than the processor time that the program allows.
        `pool_size`: how many processes of the program may run side by side."""
        self._module = module
        self._timeout = timeout
        self._places = [_Place() for _ in range(pool_size)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for place in self._places:
            process, place.process = place.process, None
            if process:
                await process.end()

    async def talk(self, dialogue: Callable[[Pipe], Awaitable[T]], about: Hashable = None) -> T:
        """Hold a dialogue with one process, exclusively; hold it once more if the process ends. Returns its result.

        Dialogues with an equal `about` go to the same process of the pool, which may cache for them.

        Raises: TookTooLong, Died, Late; Transient when no process can be started.
        """
        place = self._places[hash(about) % len(self._places)]
        async with place.turn:
            try:
                return await self._once(place, dialogue)
            except Died:  # this dialogue may not be the cause
                return await self._once(place, dialogue)

    async def _once(self, place: _Place, dialogue: Callable[[Pipe], Awaitable[T]]) -> T:
        process, place.process = place.process or await _Running.start(self._module), None
        try:
            async with asyncio.timeout(self._timeout):
                result = await process.hold(dialogue)
        except TimeoutError:
            await process.end()
            raise Late(f"no answer from {self._module} within {self._timeout:g} s") from None
        except BaseException:  # ended, or cancelled: its late answers must not reach the next dialogue
            await process.end()
            raise
        place.process = process
        return result


@dataclass
class _Place:
    """One slot of the pool. `process` is None while it is in a dialogue or not started."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: _Running | None = None


class Pipe:
    """The parent's end of the pipes: messages in both directions."""

    def __init__(self, to: asyncio.StreamWriter, from_: asyncio.StreamReader) -> None:
        self._to = to
        self._from = from_

    async def send(self, message: bytes) -> None:
        self._to.write(len(message).to_bytes(LENGTH, "big"))
        for at in range(0, len(message), WRITE_BYTES):
            self._to.write(message[at : at + WRITE_BYTES])
            await self._to.drain()

    async def receive(self) -> bytes:
        return await self._from.readexactly(int.from_bytes(await self._from.readexactly(LENGTH), "big"))


class _Running:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._pipe = Pipe(cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout))

    @classmethod
    async def start(cls, module: str) -> Self:
        program = (sys.executable, "-I", "-m", module)
        try:
            process = await asyncio.create_subprocess_exec(
                *program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, start_new_session=True
            )
        except OSError as failure:
            raise Transient(f"cannot start a process for {module}: {failure}") from failure
        return cls(process)

    async def hold(self, dialogue: Callable[[Pipe], Awaitable[T]]) -> T:
        try:
            return await dialogue(self._pipe)
        except (ConnectionError, asyncio.IncompleteReadError):
            code = await self._process.wait()
        if code == -signal.SIGPROF:
            raise TookTooLong("too much processor time")
        raise Died(f"its process ended with {code}")

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()
