"""The signal by which a sweep's loop is woken."""

from __future__ import annotations

import asyncio
from typing import Any

DEBOUNCE_SECONDS = 0.2
"""The least time between two runs of a sweep, however often it is woken."""


class WakeUp:
    """Wakes one waiting loop. Calls made while the loop is busy add up to one wake-up; none of them is lost.

    `wake_up(place)` says what became due, for example an account id; `wake_up()` means that anything may be due.
    """

    def __init__(self) -> None:
        self._called = asyncio.Event()
        self._places: set[Any] = set()
        self._everywhere = False

    def __call__(self, place: Any = None) -> None:
        """Wake the loop. Without a place, the loop looks at everything."""
        if place is None:
            self._everywhere = True
        else:
            self._places.add(place)
        self._called.set()

    async def wait(self, timeout: float | None = None) -> frozenset[Any] | None:
        """Wait for a call, at most `timeout` seconds. Returns the places named since the last wait.

        None stands for everything: a call named no place, or the time ran out.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._called.wait()
        except TimeoutError:
            self._everywhere = True
        places = None if self._everywhere else frozenset(self._places)
        self._called.clear()
        self._places, self._everywhere = set(), False
        return places
