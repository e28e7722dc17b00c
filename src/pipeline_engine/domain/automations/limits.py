"""Limits on what automations do: an account's rate per type, and how often they may move one deal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Grant
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.deal_change import DealChange, list_of

NO_REDIS_REST_SECONDS = 1.0
"""Rest of an account with a limit while Redis, which counts for it, is away."""
MAX_MOVES, MOVES_WINDOW = 20, timedelta(hours=1)
MOVED_TOO_OFTEN = f"automations have moved it {MAX_MOVES} times within an hour; do their target stages form a circle?"


async def within_limit(app: App[AutomationRepos], automation: Automation, wanted: int) -> Grant:
    """How many of `wanted` deals may be worked off now, by `limits: {<type>: per minute}` of the account. Tokens are
    taken before the work, so a limit never uses up an attempt."""
    limit = limit_of(await app.shared.accounts.get(automation.account_id), automation.type)
    if limit is None:
        return Grant(wanted, 0.0)
    try:
        return await app.rate_limiter.acquire(str(automation.account_id), automation.type, limit, wanted)
    except Unreachable:
        return Grant(0, NO_REDIS_REST_SECONDS)


def limit_of(account: Mapping[str, Any], type: str) -> int | None:
    """The limit per minute; None where the account has none, or none that is a number of at least 0."""
    limits = account.get("limits")
    limit = limits.get(type) if isinstance(limits, Mapping) else None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0:
        return None
    return int(limit)


def moved_too_often(deal: Mapping[str, Any], now: datetime) -> bool:
    """Whether automations move the deal round and round (A to B, B to A, …): one more move would exceed the limit."""
    moves = deal.get("automation_moves") or []
    first = usable_date(moves[-MAX_MOVES]) if len(moves) >= MAX_MOVES else None
    return first is not None and first > now - MOVES_WINDOW


def count_move() -> DealChange:
    """Adds this move to the times of the last ones, which the deal keeps."""
    moves = {"$concatArrays": [list_of("automation_moves"), ["$$NOW"]]}
    return DealChange(compute={"automation_moves": {"$slice": [moves, -MAX_MOVES]}})
