"""Explains why something happens or not: conditions with their actual values, and what happens next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline_engine.repos.collection_spec import LEGACY_FLAG_COUNTS

What = Literal["fires", "runs", "retries", "ends", "fails", "waits", "never"]

NO_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Next:
    """What happens next and why. `at` is None when that depends on something that has no time."""

    what: What
    at: datetime | None
    why: str


@dataclass(frozen=True)
class Condition:
    """Something that must hold, its actual value, and what happens next when it does not hold."""

    name: str
    value: object
    passed: bool | None
    """None when the condition does not matter here."""
    otherwise: Next | None = None
    """Given for every condition that may fail."""


def holds(conditions: Sequence[Condition]) -> bool:
    """Whether no condition fails."""
    return all(condition.passed is not False for condition in conditions)


def next_of(conditions: Sequence[Condition], then: Next) -> Next:
    """`then` when all conditions hold; else what follows from those that fail.

    "never" wins over what has no time, and that over the latest time.
    """
    follows = [one.otherwise for one in conditions if one.passed is False and one.otherwise]
    never = [one for one in follows if one.what == "never"]
    if timeless := never or [one for one in follows if one.at is None]:
        return Next(timeless[0].what, None, "; ".join(one.why for one in timeless))
    return max(follows, key=lambda one: one.at or NO_TIME, default=then)


def is_free(name: str, document: Mapping[str, Any], now: datetime) -> Condition:
    """The condition `name`: no run and no older engine holds the leased document, whose flag is `in_progress`."""
    until = document.get("lease_until")
    if until is not None:
        who = f"{document.get('lease_owner')}, lease until {until:%H:%M:%S} UTC"
        running = Next("runs", now, f"{who}; should that process vanish, another one takes over then")
        return Condition(name, who if until >= now else f"{who}: run out", until < now, running)
    sign = document.get("updatedAt") or document.get("flag_seen_at")
    if document.get("in_progress") is not True or (sign and sign <= now - LEGACY_FLAG_COUNTS):
        return Condition(name, "no process", True)
    waits = Next("waits", sign + LEGACY_FLAG_COUNTS if sign else None, "for another engine's in_progress")
    return Condition(name, "in_progress without a lease", False, waits)


def of_window(effects: Sequence[Mapping[str, Any]]) -> list[Condition]:
    """Shown without effect, as the due time follows from it: which of the records in `effects` wait for the send
    window, and why."""
    held = [str(one.get("error")) for one in effects if one.get("state") == "held"]
    return [Condition("the send window is open", why, None) for why in held]


def step_detail(effect: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    """What one step in the history of a record in `effects` was about: its channel, and why a message was held."""
    return f"{effect['channel']}: {step['why']}" if step.get("why") else str(effect["channel"])
