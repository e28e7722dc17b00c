"""Server time for due times. Leases never use it (they use `$$NOW`); waiting uses the monotonic clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Time of the database server: a local monotonic clock plus an offset that `set` refreshes."""

    def __init__(self) -> None:
        self._zero = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    def now(self) -> datetime:
        """Now, in UTC, as the database server sees it."""
        return self._zero + timedelta(seconds=time.monotonic())

    def set(self, server_now: datetime) -> timedelta:
        """Take over the server's time; returns by how much this clock had to move."""
        moved = server_now - self.now()
        self._zero += moved
        return moved
