"""Has templates filled in by a process of their own, started when it is needed and replaced when it is lost."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.providers.rendering import Batch, Filled

PROGRAM = (sys.executable, "-I", "-m", "pipeline_engine.providers.template_process")
LENGTH = 4
PATIENCE = 10.0  # seconds; the processor time that a batch may use is far less, so only a stuck machine takes as long

Texts = dict[str, str]


class Renderer:
    """`async with Renderer() as renderer`."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._process: _TemplateProcess | None = None
        self._turn = asyncio.Lock()
        # Ids and whatever else MongoDB stores become text.
        self._encode = msgspec.msgpack.Encoder(enc_hook=str).encode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process:
            await process.end()

    async def render(self, parts: Mapping[str, str], contexts: Sequence[dict[str, Any]]) -> list[Texts | Permanent]:
        """Fill the template's parts in with each context. `html` is escaped, other parts are not; `text` is made from
        `html` where it is missing. Returns the texts by part, or why there are none, in the order of the contexts.

        Raises: Permanent when the template takes too long; Transient when the process cannot be had.
        """
        batch = self._encode(Batch(dict(parts), list(contexts)))
        async with self._turn:
            try:
                filled = await self._fill(batch, len(contexts))
            except _Died:  # perhaps not by this template's doing
                filled = await self._fill_again(batch, len(contexts))
        return [Permanent(one.error, "bad_template") if one.error else one.texts for one in filled]

    async def _fill_again(self, batch: bytes, answers: int) -> list[Filled]:
        try:
            return await self._fill(batch, answers)
        except _Died as death:
            raise Permanent(f"the template breaks what fills it in: {death}", "bad_template") from None

    async def _fill(self, batch: bytes, answers: int) -> list[Filled]:
        process, self._process = self._process or await _TemplateProcess.start(), None
        try:
            async with asyncio.timeout(self._patience):
                filled = await process.ask(batch, answers)
        except TimeoutError:
            await process.end()
            raise Transient(f"templates were not filled in within {self._patience:g} s") from None
        except BaseException:  # lost, or cancelled: its answers must not be taken for those of the next batch
            await process.end()
            raise
        self._process = process
        return filled


class _Died(Exception):
    """The process ended in mid-batch."""


class _TemplateProcess:
    """Answers one batch at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._to = cast("asyncio.StreamWriter", process.stdin)
        self._from = cast("asyncio.StreamReader", process.stdout)
        self._decode = msgspec.msgpack.Decoder(Filled).decode

    @classmethod
    async def start(cls) -> Self:
        """Raises: Transient."""
        try:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, start_new_session=True
            )
        except OSError as failure:
            raise Transient(f"no process for templates: {failure}") from failure
        return cls(process)

    async def ask(self, batch: bytes, answers: int) -> list[Filled]:
        """Raises: Permanent when it ended because the batch took too long, _Died when for another reason."""
        try:
            self._to.write(len(batch).to_bytes(LENGTH, "big") + batch)
            await self._to.drain()
            return [self._decode(await self._read()) for _ in range(answers)]
        except (ConnectionError, asyncio.IncompleteReadError):
            code = await self._process.wait()
        if code == -signal.SIGPROF:
            raise Permanent("the template takes too long: over 1 s of processor time for a batch", "bad_template")
        raise _Died(f"it ended with {code}")

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()

    async def _read(self) -> bytes:
        return await self._from.readexactly(int.from_bytes(await self._from.readexactly(LENGTH), "big"))
