"""What clients send to a Redis: a metered one bills each of these."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from redis.asyncio import Redis


class Commands:
    """The commands since the beginning. A script is one, whatever it calls."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self._last = monotonic()

    @property
    def quiet_for(self) -> float:
        """Seconds since the last command."""
        return monotonic() - self._last

    def forget(self) -> None:
        """Begin anew."""
        self.counts.clear()

    def add(self, command: str) -> None:
        self.counts[command.split(" ", 1)[0].upper()] += 1
        self._last = monotonic()


@asynccontextmanager
async def listen(url: str) -> AsyncIterator[Commands]:
    """Count the commands of all clients but this one, by MONITOR."""
    commands = Commands()
    async with Redis.from_url(url) as client, client.monitor() as monitor:

        async def hear() -> None:
            async for one in monitor.listen():
                if one["client_type"] != "lua":
                    commands.add(one["command"])

        task = asyncio.create_task(hear())
        yield commands
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
