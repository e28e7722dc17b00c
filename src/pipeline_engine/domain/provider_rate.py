"""Limits of providers, counted over all daemons and accounts."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.errors import RateLimited, Unreachable

MIN_REST_SECONDS = 1.0
"""Also the rest while Redis, which counts, is away."""


async def take_call(app: App, provider: str, name: str, per_minute: int) -> None:
    """Take one call out of those of any 60 s. Raises: RateLimited when there is none left."""
    try:
        grant = await app.rate_limiter.acquire(provider, name, per_minute, 1)
    except Unreachable:
        raise RateLimited(MIN_REST_SECONDS, "Redis, which counts the calls, is away") from None
    if not grant.units:
        raise RateLimited(max(MIN_REST_SECONDS, grant.after), f"the calls of this minute to {provider} are used up")
