"""Limits on what automations do: an account's rate per type, and how often they may move one deal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages import limits
from pipeline_engine.lanes import Grant
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.deal_change import DealChange, list_of

MAX_MOVES, MOVES_WINDOW = 20, timedelta(hours=1)
MOVED_TOO_OFTEN = f"automations have moved it {MAX_MOVES} times within an hour; do their target stages form a circle?"


async def within_limit(app: App[AutomationRepos], automation: Automation, wanted: int) -> Grant:
    """How many of `wanted` deals may be worked off now, by the account's limit of the automation's type."""
    return await limits.within_limit(app, automation.account_id, automation.type, wanted)


def moved_too_often(deal: Mapping[str, Any], now: datetime) -> bool:
    """Whether automations move the deal round and round (A to B, B to A, …): one more move would exceed the limit."""
    moves = deal.get("automation_moves") or []
    first = usable_date(moves[-MAX_MOVES]) if len(moves) >= MAX_MOVES else None
    return first is not None and first > now - MOVES_WINDOW


def count_move() -> DealChange:
    """Adds this move to the times of the last ones, which the deal keeps."""
    moves = {"$concatArrays": [list_of("automation_moves"), ["$$NOW"]]}
    return DealChange(compute={"automation_moves": {"$slice": [moves, -MAX_MOVES]}})
