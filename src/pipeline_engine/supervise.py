"""Keeps a loop of the daemon alive: whatever ends it is logged, and it starts again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from pipeline_engine import logs

log = logs.get(__name__)


async def supervise(name: str, loop: Callable[[], Awaitable[None]], rest: float = 1.0) -> None:
    """Run `loop` for ever, with about `rest` seconds between two runs: nothing spins on a lost server."""
    while True:
        try:
            await loop()
        except Exception as error:
            # One line, not a traceback each second: a lost server is the usual cause.
            log.warning("loop ended, starting it again", loop=name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(rest * random.uniform(0.5, 1.5))  # noqa: S311 - jitter


class Poke:
    """A bell that a waiting loop hears once however often it was rung."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self._rung.set()

    async def wait(self, longest: float | None = None) -> None:
        """Until it rings, at most `longest` seconds."""
        try:
            async with asyncio.timeout(longest):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()
