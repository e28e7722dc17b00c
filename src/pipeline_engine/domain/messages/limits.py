"""The rate at which one account may act, per type of action and over all systems."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.stored_number import stored_number
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Grant
from pipeline_engine.lanes.rate_limiter import WINDOW_SECONDS

NO_LIMIT = 1e9
"""So many a minute, or Infinity, limit nothing."""
NO_REDIS_REST_SECONDS = 1.0
"""Rest of an account with a limit while Redis, which counts for it, is away."""


async def within_limit(app: App, account_id: ObjectId, type: str, wanted: int, default: int | None = None) -> Grant:
    """How many of `wanted` units may be worked off now, by `limits: {<type>: per minute}` of the account. Tokens are
    taken before the work, so a limit never uses up an attempt."""
    limit = limit_of(await app.shared.accounts.get(account_id), type)
    limit = default if limit is None else limit
    if limit is None:
        return Grant(wanted, 0.0)
    try:
        return await app.rate_limiter.acquire(str(account_id), type, limit, wanted)
    except Unreachable:
        return Grant(0, NO_REDIS_REST_SECONDS)


def limit_of(account: Mapping[str, Any], type: str) -> int | None:
    """The limit per minute; None where the account has none, or none that is a number of at least 0."""
    limits = account.get("limits")
    limit = stored_number(limits.get(type)) if isinstance(limits, Mapping) else None
    return int(limit) if limit is not None and 0 <= limit < NO_LIMIT else None


def spread(units: int, after: float, limit: int, before: int = 0) -> list[timedelta]:
    """How far off each of the units is that are over the limit: as many a minute as it allows, behind those `before`
    them that wait already."""
    step = WINDOW_SECONDS / max(1, limit)
    return [timedelta(seconds=round(after + step * (before + n), 1)) for n in range(units)]


async def rests_of(app: App, account_id: ObjectId, type: str, units: int, after: float) -> list[timedelta]:
    """As `spread`, by the account's own limit."""
    limit = limit_of(await app.shared.accounts.get(account_id), type) if units else None
    return spread(units, after, limit or 0)
