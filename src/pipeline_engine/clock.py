"""The database server's time, for due times. Leases use `$$NOW` instead; waiting uses the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

ANSWERS = 3


class Clock:
    """The local monotonic clock plus an offset. `set` and `follow` refresh the offset from the server's time."""

    def __init__(self) -> None:
        self._zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    def now(self) -> datetime:
        """The current time in UTC, as the database server sees it."""
        return self._zero + timedelta(seconds=time.monotonic())

    def set(self, server_now: datetime) -> timedelta:
        """Adopt the server's time. Returns by how much this clock moved."""
        moved = server_now - self.now()
        self._zero += moved
        return moved

    async def follow(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Adopt the server's time, which `ask` returns. An answer is late by its travel and by what else the process
        does, so the latest of three times counts. Raises what `ask` raises."""
        self._zero += max([await ask() - self.now() for _ in range(ANSWERS)])


def usable_date(value: object) -> datetime | None:
    """The value if it is a date to which ten years can be added or from which they can be subtracted, else None.

    MongoDB also holds dates outside the years 1 to 9999; pymongo returns those as `DatetimeMS`, which is no datetime.
    """
    return value if isinstance(value, datetime) and 11 <= value.year <= 9989 else None
