"""Tells a planner that chunks of its import have ended in this process."""

from __future__ import annotations

import asyncio
from collections import Counter

from bson import ObjectId


class Ended:
    def __init__(self) -> None:
        self._counts: Counter[ObjectId] = Counter()
        self._bells: dict[ObjectId, asyncio.Event] = {}

    def count(self, import_id: ObjectId) -> int:
        """How many have ended since the planner began to listen."""
        self._bells.setdefault(import_id, asyncio.Event())
        return self._counts[import_id]

    def add(self, import_id: ObjectId) -> None:
        if bell := self._bells.get(import_id):
            self._counts[import_id] += 1
            bell.set()

    async def wait(self, import_id: ObjectId, longest: float) -> None:
        """Until a chunk has ended since the last wait, at most `longest` seconds."""
        bell = self._bells.setdefault(import_id, asyncio.Event())
        try:
            async with asyncio.timeout(longest):
                await bell.wait()
        except TimeoutError:
            pass
        bell.clear()

    def forget(self, import_id: ObjectId) -> None:
        self._counts.pop(import_id, None)
        self._bells.pop(import_id, None)
