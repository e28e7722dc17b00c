"""What one account may do in a minute, over all daemons."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from pipeline_engine.lanes.connection import reachable
from pipeline_engine.lanes.script import Script

WINDOW = 60.0

_spend = Script("spend")


@dataclass(frozen=True)
class Grant:
    """So many may be done now; if that is none, some may in `after` seconds."""

    units: int
    after: float


class RateLimiter:
    """No window of 60 s ever holds more than the limit. An emptied Redis forgets what was spent: one burst."""

    def __init__(self, redis: Redis, prefix: str = "pe:") -> None:
        self._redis = redis
        self._prefix = prefix

    async def acquire(self, account: str, name: str, limit: int, wanted: int) -> Grant:
        """Take up to `wanted` units out of `limit` per minute. Raises: Unreachable when Redis does not answer."""
        ask = {"wanted": wanted, "limit": limit, "window": round(WINDOW * 1000)}
        async with reachable():
            granted, wait_ms = await _spend(self._redis, [f"{self._prefix}spent:{account}:{name}"], ask)
        return Grant(granted, wait_ms / 1000)
