"""How interested a contact is: points of its signals, which fade with age, and the level that they make. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.stored_number import stored_number

DECAY_PER_DAY = 2.0
"""Points that a signal loses per whole day of its age, where the account says nothing."""
POINTS = {
    "page_view": 5,
    "email_open": 3,
    "link_click": 10,
    "email_click": 10,
    "form_submission": 20,
    "demo_request": 50,
}
"""By the type of a signal, its points where it holds none."""
HIGH, MEDIUM = 50.0, 20.0
"""Least scores of the levels, where the account says nothing."""
SECONDS_PER_DAY = 86_400


def intent_score(signals: Iterable[Mapping[str, Any]], now: datetime, decay_per_day: float) -> float:
    """What is left of the points of all signals, computed from their times, so that no order and no repeat matters."""
    return sum(points_left(one, now, decay_per_day) for one in signals)


def points_left(signal: Mapping[str, Any], now: datetime, decay_per_day: float) -> float:
    """What is left of a signal's points; 0 when the signal has expired or its points are not usable. One whose points
    are no number has those of its type."""
    points = stored_number(signal.get("points"))
    if points is None:
        points = POINTS.get(str(signal.get("type")), 0)
    if not 0 < points < 1e6:
        return 0.0
    return max(0.0, points - decay_per_day * _days(signal, now))


def has_expired(signal: Mapping[str, Any], now: datetime, decay_per_day: float, floor: float | None) -> bool:
    """Whether a signal counts no more: nothing of it is left or, where the account sets a floor, less than that when
    it is at least a day old."""
    left = points_left(signal, now, decay_per_day)
    return left <= 0 or (floor is not None and left < floor and _days(signal, now) >= 1)


def _days(signal: Mapping[str, Any], now: datetime) -> int:
    """The whole days since the signal; 0 for one of a time to come or without a time."""
    since = usable_date(signal.get("occurred_at"))
    return max(0, int((now - since).total_seconds() // SECONDS_PER_DAY)) if since else 0


def intent_level(score: float, profile: Mapping[str, Any]) -> str:
    """high, medium or low, by the bounds in the account's profile."""
    bounds = profile.get("intent_levels")
    given = bounds if isinstance(bounds, Mapping) else {}
    if score >= number_or(given.get("high"), HIGH):
        return "high"
    return "medium" if score >= number_or(given.get("medium"), MEDIUM) else "low"


def number_or(value: object, default: float) -> float:
    """The value if it is a number of at least 0, else the default."""
    number = stored_number(value)
    return number if number is not None and 0 <= number < 1e9 else default
