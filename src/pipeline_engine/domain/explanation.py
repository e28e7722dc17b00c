"""Why something happens, or does not: conditions with their actual values, and what follows from them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

What = Literal["fires", "runs", "retries", "ends", "fails", "waits", "never"]

EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Next:
    """What happens next. Without `at` it depends on something that has no time."""

    what: What
    at: datetime | None
    why: str


@dataclass(frozen=True)
class Condition:
    """Something that must hold, what was found, and what follows when it does not hold."""

    name: str
    value: object
    passed: bool | None
    """None: it does not matter here."""
    otherwise: Next | None = None
    """Given wherever it may fail."""


def holds(conditions: Sequence[Condition]) -> bool:
    return all(condition.passed is not False for condition in conditions)


def next_of(conditions: Sequence[Condition], then: Next) -> Next:
    """`then` when all hold. Else "never" wins over what has no time, and that over the latest time."""
    follows = [one.otherwise for one in conditions if one.passed is False and one.otherwise]
    never = [one for one in follows if one.what == "never"]
    if timeless := never or [one for one in follows if one.at is None]:
        return Next(timeless[0].what, None, "; ".join(one.why for one in timeless))
    return max(follows, key=lambda one: one.at or EVER, default=then)
