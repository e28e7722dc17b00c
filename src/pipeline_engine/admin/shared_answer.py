"""One answer for many requests: found once at a time, and reused for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """However many clients ask, `find` runs at most once in `seconds`, and never twice at the same time."""

    def __init__(self, find: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._asked_at = -seconds
        self._answer: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer, which began to be found at most `seconds` ago or when no other was being found. Raises: as
        `find`."""
        if self._answer is None or (self._answer.done() and time.monotonic() > self._asked_at + self._seconds):
            self._asked_at = time.monotonic()
            self._answer = asyncio.create_task(self._find())
        return await asyncio.shield(self._answer)
