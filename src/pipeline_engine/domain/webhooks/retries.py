"""When a delivery is attempted again: ten attempts over about 75 hours, and three that end their process. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from pipeline_engine.domain.claimed import MAX_CRASHES

MINUTE, HOUR = 60.0, 3600.0
PAUSES = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds after the first, second, … failed attempt; the first attempt is made at once."""
MAX_ATTEMPTS = len(PAUSES) + 1
JITTER = 0.1
"""A pause is up to this part longer, so that deliveries that failed together do not come back together."""


def next_attempt(failed: int, now: datetime, retry_after: float, chance: float) -> datetime | None:
    """When the attempt after so many failed ones is due; None when there is none any more.

    `retry_after`: the seconds that the endpoint asked for. `chance`: a random number from 0 to 1.
    """
    if failed >= MAX_ATTEMPTS:
        return None
    pause = PAUSES[failed - 1] * (1 + JITTER * chance)
    return now + timedelta(seconds=max(pause, retry_after))


def crashes_of(delivery: Mapping[str, Any]) -> int:
    """How many of its last attempts in a row have no result, because their process ended in the middle."""
    return sum(1 for _ in takewhile(_is_cut, reversed(attempts_of(delivery))))


def attempts_of(delivery: Mapping[str, Any]) -> list[Any]:
    """The delivery's attempts; none where something else stands there."""
    attempts = delivery.get("attempts")
    return attempts if isinstance(attempts, list) else []


def _is_cut(attempt: Any) -> bool:
    return isinstance(attempt, Mapping) and attempt.get("status") is None and attempt.get("error") is None


def why_given_up(delivery: Mapping[str, Any]) -> str | None:
    """Why a pending delivery is not attempted again; None while it may be."""
    if crashes_of(delivery) >= MAX_CRASHES:
        return f"{MAX_CRASHES} processes ended while they posted it"
    if len(attempts_of(delivery)) >= MAX_ATTEMPTS:
        return f"{MAX_ATTEMPTS} attempts were made, and its process ended during the last one"
    return None


def batch_of(due: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The ids of the first of the due deliveries. One whose process ended is attempted alone, so that it takes no
    others with it."""
    sound = [one["_id"] for one in takewhile(lambda one: not crashes_of(one), due)]
    return sound or [one["_id"] for one in due[:1]]
