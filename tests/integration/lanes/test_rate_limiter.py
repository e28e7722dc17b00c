"""Limits per account, on a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import RateLimiter
from pipeline_engine.lanes import rate_limiter as module


@pytest.fixture
def rate_limiter(redis: Redis, redis_prefix: str) -> RateLimiter:
    return RateLimiter(redis, redis_prefix)


async def test_what_is_left_of_the_minute_is_granted_and_then_nothing(rate_limiter: RateLimiter) -> None:
    assert (await rate_limiter.acquire("a", "sms", limit=60, wanted=45)).units == 45
    assert (await rate_limiter.acquire("a", "sms", limit=60, wanted=45)).units == 15
    refused = await rate_limiter.acquire("a", "sms", limit=60, wanted=45)
    assert refused.units == 0
    assert 50 < refused.after <= 60


async def test_accounts_and_names_have_their_own(rate_limiter: RateLimiter) -> None:
    assert (await rate_limiter.acquire("a", "sms", limit=5, wanted=9)).units == 5
    assert (await rate_limiter.acquire("b", "sms", limit=5, wanted=9)).units == 5
    assert (await rate_limiter.acquire("a", "email", limit=5, wanted=9)).units == 5


async def test_a_limit_of_nothing_grants_nothing(rate_limiter: RateLimiter) -> None:
    granted = await rate_limiter.acquire("a", "sms", limit=0, wanted=1)
    assert (granted.units, granted.after) == (0, 60)


async def test_no_window_holds_more_than_the_limit(rate_limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 0.2)
    spent: list[tuple[float, float, int]] = []

    async def spender() -> None:
        while sum(units for *_, units in spent) < 60:
            before = time.monotonic()
            granted = await rate_limiter.acquire("a", "sms", limit=10, wanted=4)
            if granted.units:
                spent.append((before, time.monotonic(), granted.units))
            else:
                await asyncio.sleep(granted.after)

    await asyncio.gather(*(spender() for _ in range(5)))
    for begin, _, _ in spent:
        inside = [units for asked, answered, units in spent if asked >= begin and answered < begin + 0.2]
        assert sum(inside) <= 10


async def test_nothing_is_kept_longer_than_it_counts(
    rate_limiter: RateLimiter, redis: Redis, redis_prefix: str
) -> None:
    await rate_limiter.acquire("a", "sms", limit=5, wanted=1)
    assert 0 < await redis.pttl(f"{redis_prefix}spent:a:sms") <= 61_000
