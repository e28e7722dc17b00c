"""What the tests of the lanes share: a store in a list and a lane for a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_engine.lanes import Backoff, Codec, DeadLetter, HistoryRow, Lane

CODEC = Codec(b"a key for the tests of the lanes")
SOON = Backoff("steps", (0.01,), jitter=0.0)


class Book:
    """A store that can be closed for a while."""

    def __init__(self) -> None:
        self.rows: list[HistoryRow] = []
        self.letters: list[DeadLetter] = []
        self.closed = False
        self.refusals = 0

    async def record(self, rows: Sequence[HistoryRow]) -> None:
        self._open()
        self.rows.extend(rows)

    async def save_dead_letter(self, letter: DeadLetter) -> None:
        self._open()
        self.letters.append(letter)

    def _open(self) -> None:
        if self.closed:
            self.refusals += 1
            raise ConnectionError("the store is away")


def lane(places: int = 4, **rules: Any) -> Lane:
    """A lane named `test` whose retries come soon."""
    return Lane("test", places, **{"backoff": SOON, "timeout": 10.0, **rules})
