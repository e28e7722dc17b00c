"""Keeps a loop of the daemon alive: whatever ends it is logged, and it starts again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline_engine import logs

CANCEL_AGAIN = 0.3
"""Seconds that a cancelled task gets to clean up."""

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


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, with which redis-py sends, forgets a cancellation that
    comes at the moment in which its call succeeds.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


class Poke:
    """A bell that a waiting loop hears once however often it was rung, and that may say where to look."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._places: set[Any] = set()
        self._everywhere = False

    def __call__(self, place: Any = None) -> None:
        """Ring; without a place, everything is to be looked at."""
        if place is None:
            self._everywhere = True
        else:
            self._places.add(place)
        self._rung.set()

    async def wait(self, longest: float | None = None) -> frozenset[Any] | None:
        """Until it rings, at most `longest` seconds. Returns the places that were told; None for everything."""
        try:
            async with asyncio.timeout(longest):
                await self._rung.wait()
        except TimeoutError:
            self._everywhere = True
        places = None if self._everywhere else frozenset(self._places)
        self._rung.clear()
        self._places, self._everywhere = set(), False
        return places
