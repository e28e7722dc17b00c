"""Hands out units that are still to be sent, and asks about the next ones before the last one is taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from types import TracebackType
from typing import Self

ASKED_TOGETHER = 20
"""For how many units it is asked together whether they are still wanted."""

StillWanted = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns those of the unit keys that are still to be sent; asked shortly before the call."""


class Wanted:
    """`async with Wanted(keys, still_wanted, few) as wanted`: asks on when fewer than `few` known ones are left."""

    def __init__(self, keys: Iterable[str], still_wanted: StillWanted, few: int) -> None:
        self._keys = deque(keys)
        self._still_wanted = still_wanted
        self._few = few
        self._known: deque[str] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.clear()
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def clear(self) -> None:
        """Hand out no more."""
        self._keys.clear()
        self._known.clear()

    async def take(self) -> str | None:
        """Return the next unit that is still to be sent; None when there is none.

        Raises: what `still_wanted` raises.
        """
        while True:
            if self._asking and self._asking.done():
                self._asking.result()
                self._asking = None
            if self._keys and len(self._known) < self._few and not self._asking:
                self._asking = asyncio.create_task(self._ask())
            if self._known:
                return self._known.popleft()
            if not self._asking:
                return None
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        keys = [self._keys.popleft() for _ in range(min(ASKED_TOGETHER, len(self._keys)))]
        wanted = await self._still_wanted(keys)
        self._known.extend(key for key in keys if key in wanted)
