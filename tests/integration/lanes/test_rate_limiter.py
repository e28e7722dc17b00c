"""Limits per account, on a real Redis."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import RateLimiter, connect
from pipeline_engine.lanes import rate_limiter as module

DRIFT = 0.001
"""Seconds by which this process' clock and the server's may differ over a window."""


@pytest.fixture
def rate_limiter(redis: Redis, redis_prefix: str) -> RateLimiter:
    return RateLimiter(redis, redis_prefix)


async def test_what_is_left_of_the_minute_is_granted_and_then_nothing(rate_limiter: RateLimiter) -> None:
    assert (await rate_limiter.acquire("a", "sms", limit=60, wanted=45)).units == 45
    assert (await rate_limiter.acquire("a", "sms", limit=60, wanted=45)).units == 15
    refused = await rate_limiter.acquire("a", "sms", limit=60, wanted=45)
    assert refused.units == 0
    assert 50 < refused.after <= 60.001


async def test_accounts_and_names_have_their_own(rate_limiter: RateLimiter) -> None:
    assert (await rate_limiter.acquire("a", "sms", limit=5, wanted=9)).units == 5
    assert (await rate_limiter.acquire("b", "sms", limit=5, wanted=9)).units == 5
    assert (await rate_limiter.acquire("a", "email", limit=5, wanted=9)).units == 5


async def test_a_limit_of_nothing_grants_nothing(rate_limiter: RateLimiter) -> None:
    granted = await rate_limiter.acquire("a", "sms", limit=0, wanted=1)
    assert (granted.units, granted.after) == (0, 60.001)


async def test_no_window_holds_more_than_the_limit(rate_limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant's server time lies between its call and its answer, so grants between two readings are in one window."""
    window = 0.2
    monkeypatch.setattr(module, "WINDOW_SECONDS", window)
    grants: list[tuple[float, float, int]] = []

    async def acquire_often() -> None:
        while sum(units for *_, units in grants) < 60:
            asked = time.monotonic()
            grant = await rate_limiter.acquire("a", "sms", limit=10, wanted=4)
            if grant.units:
                grants.append((asked, time.monotonic(), grant.units))
            else:
                await asyncio.sleep(grant.after)

    await asyncio.gather(*(acquire_often() for _ in range(5)))
    for begin, _, _ in grants:
        inside = [units for asked, answered, units in grants if asked >= begin and answered < begin + window - DRIFT]
        assert sum(inside) <= 10


async def test_grants_of_the_same_moment_all_count(redis_url: str, redis_prefix: str) -> None:
    """Equal grants within 100 us were kept as one, so that eight connections got up to 14 of 10 units."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(redis_url)) for _ in range(8)]
        await asyncio.gather(*(client.ping() for client in clients))
        limiters = [RateLimiter(client, redis_prefix) for client in clients]
        for account in map(str, range(100)):
            granted = await asyncio.gather(*(one.acquire(account, "sms", limit=10, wanted=4) for one in limiters))
            assert sum(grant.units for grant in granted) == 10


async def test_a_grant_leaves_the_window_only_after_it(
    rate_limiter: RateLimiter, redis: Redis, redis_prefix: str
) -> None:
    """Redis' times are whole ms: a grant that is exactly a window old by them may be up to 1 ms younger."""
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    await redis.zadd(f"{redis_prefix}spent:a:sms", {"5:x": now - round(module.WINDOW_SECONDS * 1000) + 30_000})
    refused = await rate_limiter.acquire("a", "sms", limit=5, wanted=1)
    assert refused.units == 0
    assert 0 < refused.after <= 30.001
    seconds, micros = await redis.time()
    passed = seconds * 1000 + micros // 1000 - now
    assert round(refused.after * 1000) >= 30_001 - passed


async def test_nothing_is_kept_longer_than_it_counts(
    rate_limiter: RateLimiter, redis: Redis, redis_prefix: str
) -> None:
    await rate_limiter.acquire("a", "sms", limit=5, wanted=1)
    assert 0 < await redis.pttl(f"{redis_prefix}spent:a:sms") <= 61_000
