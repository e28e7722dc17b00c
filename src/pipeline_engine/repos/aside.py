"""What this process has read of the quarantine, so that not every query of a run asks for it again."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

KEPT_SECONDS = 1.0
"""Without a change stream, what another process sets aside or releases counts so much later."""


class Aside:
    """The ids of each collection that are set aside. `forget` whenever the quarantine changes."""

    def __init__(self) -> None:
        self.changes = 0
        """How often the quarantine has changed: what was asked for before the last change is not kept."""
        self._ids: dict[str, tuple[float, Sequence[Any]]] = {}

    def ids(self, collection: str) -> Sequence[Any] | None:
        """The ids as they were read within the last second; None when they have to be read."""
        until, ids = self._ids.get(collection, (0.0, ()))
        return ids if monotonic() < until else None

    def keep(self, collection: str, ids: Sequence[Any], changes: int) -> None:
        """Keep what was read when there had been so many changes."""
        if changes == self.changes:
            self._ids[collection] = (monotonic() + KEPT_SECONDS, ids)

    def forget(self) -> None:
        """Have everything read again."""
        self.changes += 1
        self._ids.clear()
