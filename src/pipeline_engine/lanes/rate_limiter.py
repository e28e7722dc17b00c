"""Limits per account, over all daemons."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from redis.asyncio import Redis

from pipeline_engine.lanes.connection import reachable
from pipeline_engine.lanes.script import Script

WINDOW_SECONDS = 60.0

_acquire = Script("acquire")


@dataclass(frozen=True)
class Grant:
    """`units` may be used now. If that is 0, asking again makes sense after `after` seconds."""

    units: int
    after: float


class RateLimiter:
    """In any 60 s of the Redis server's clock, an account is granted at most its limit.

    If Redis loses its data, it forgets earlier grants: the account may use its limit once more.
    """

    def __init__(self, redis: Redis, prefix: str = "pe:") -> None:
        self._redis = redis
        self._prefix = prefix

    async def acquire(self, account: str, name: str, limit: int, wanted: int) -> Grant:
        """Take up to `wanted` units out of `limit` per minute.

        Raises: Unreachable when Redis does not answer. The units may have been taken then.
        """
        key = f"{self._prefix}spent:{account}:{name}"
        # The id keeps two grants of one size, made at the same moment, from counting as one.
        ask = {"id": secrets.token_hex(8), "wanted": wanted, "limit": limit, "window": round(WINDOW_SECONDS * 1000)}
        async with reachable():
            granted, wait_ms = await _acquire(self._redis, [key], ask)
        return Grant(granted, wait_ms / 1000)
