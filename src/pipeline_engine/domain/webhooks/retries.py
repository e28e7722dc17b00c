"""When a delivery is attempted again: ten attempts over about 75 hours. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

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
