"""A Python program that works in a process of its own, started when it is needed and replaced when it is lost.

This is the parent's side; the program's own is `child_work.py`.
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

SLICE = 256 * 1024  # bytes given to the pipe at once, so that a large message does not hold up the loop

T = TypeVar("T")


class Died(EngineError):
    """The process ended in the middle of the work, twice."""


class Late(Transient):
    """The process said nothing for too long: the machine is stuck, or the process is."""


class TookTooLong(EngineError):
    """The work took more processor time than it may."""


class ChildProcess:
    """`async with ChildProcess("package.module", patience=60) as child`."""

    def __init__(self, module: str, patience: float, twins: int = 1) -> None:
        """`patience` is in seconds by the clock on the wall: more than the processor time that the program allows.
        `twins`: so many processes of the same program, for work that may be done side by side."""
        self._module = module
        self._patience = patience
        self._places = [_Place() for _ in range(twins)]

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
        """Hold a dialogue with the process, nobody else's in between; once more if the process dies. What is about the
        same is said to the same of several twins, which may remember it.

        Raises: TookTooLong, Died, Late, Transient when no process can be had.
        """
        place = self._places[hash(about) % len(self._places)]
        async with place.turn:
            try:
                return await self._once(place, dialogue)
            except Died:  # perhaps not by this work's doing
                return await self._once(place, dialogue)

    async def _once(self, place: _Place, dialogue: Callable[[Pipe], Awaitable[T]]) -> T:
        process, place.process = place.process or await _Running.start(self._module), None
        try:
            async with asyncio.timeout(self._patience):
                said = await process.hold(dialogue)
        except TimeoutError:
            await process.end()
            raise Late(f"no answer from {self._module} within {self._patience:g} s") from None
        except BaseException:  # lost, or cancelled: its answers must not be taken for those of the next dialogue
            await process.end()
            raise
        place.process = process
        return said


@dataclass
class _Place:
    """Where one process is, when it is not in a dialogue."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: _Running | None = None


class Pipe:
    """The parent's end."""

    def __init__(self, to: asyncio.StreamWriter, from_: asyncio.StreamReader) -> None:
        self._to = to
        self._from = from_

    async def send(self, message: bytes) -> None:
        self._to.write(len(message).to_bytes(LENGTH, "big"))
        for at in range(0, len(message), SLICE):
            self._to.write(message[at : at + SLICE])
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
            raise Transient(f"no process for {module}: {failure}") from failure
        return cls(process)

    async def hold(self, dialogue: Callable[[Pipe], Awaitable[T]]) -> T:
        try:
            return await dialogue(self._pipe)
        except (ConnectionError, asyncio.IncompleteReadError):
            code = await self._process.wait()
        if code == -signal.SIGPROF:
            raise TookTooLong("too much processor time")
        raise Died(f"it ended with {code}")

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()
