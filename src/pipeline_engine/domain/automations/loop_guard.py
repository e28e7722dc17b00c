"""Stops deals that automations move round and round: A to B, B to A, and so on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.repos.deal_change import DealChange, list_of

MOST, WITHIN = 20, timedelta(hours=1)
CIRCLING = f"automations have moved it {MOST} times within an hour; is there a circle of stages?"


def goes_round(deal: Mapping[str, Any], now: datetime) -> bool:
    """Whether one more move would be one too many."""
    moves = deal.get("automation_moves") or []
    return len(moves) >= MOST and bool(moves[-MOST] > now - WITHIN)


def with_move() -> DealChange:
    """The times of the last moves, now with this one."""
    moves = {"$concatArrays": [list_of("automation_moves"), ["$$NOW"]]}
    return DealChange(compute={"automation_moves": {"$slice": [moves, -MOST]}})
