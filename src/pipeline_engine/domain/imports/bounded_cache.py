"""Remembers the youngest things."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class BoundedCache(Generic[Key, Kept]):
    """Keeps entries up to a total weight and forgets the oldest beyond it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._entries: dict[Key, tuple[Kept, int]] = {}

    def keep(self, key: Key, value: Kept, weight: int = 1) -> None:
        self.take(key)
        self._entries[key] = (value, weight)
        self._weight += weight
        while self._weight > self._most:
            self.take(next(iter(self._entries)))

    def get(self, key: Key) -> Kept | None:
        entry = self._entries.get(key)
        return entry[0] if entry else None

    def take(self, key: Key) -> Kept | None:
        """Get it and forget it."""
        value, weight = self._entries.pop(key, (None, 0))
        self._weight -= weight
        return value
