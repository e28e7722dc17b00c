"""When a wait ends: after seconds, at a time of day on certain weekdays, or after business days. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

ALL_WEEK = frozenset(range(1, 8))
"""Weekdays are numbered as in ISO 8601: 1 is Monday, 7 is Sunday."""
SATURDAY = 6
UTC_ZONE = ZoneInfo("UTC")

ZoneOf = Literal["lead", "account"]


@dataclass(frozen=True)
class WaitSeconds:
    """Ends so much time after it began, whatever clocks on walls show."""

    duration: timedelta


@dataclass(frozen=True)
class WaitUntil:
    """Ends when a clock in the zone next shows this time of day on one of these weekdays."""

    time_of_day: time
    weekdays: frozenset[int] = ALL_WEEK
    zone: ZoneOf = "account"


@dataclass(frozen=True)
class WaitBusinessDays:
    """Ends at the same time of day so many days later, of which Saturdays and Sundays do not count."""

    days: int
    zone: ZoneOf = "account"


Wait = WaitSeconds | WaitUntil | WaitBusinessDays


def end_of(wait: Wait, begun: datetime, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which a wait that began at `begun` is over; always later than `begun`, and never during
    an hour that the zone's clocks skip."""
    match wait:
        case WaitSeconds():
            return (begun + wait.duration).astimezone(UTC)
        case WaitUntil():
            return _next_time_of_day(wait, begun, zone)
        case WaitBusinessDays():
            local = begun.astimezone(zone)
            return _instant(_business_day(local.date(), wait.days), local.time(), zone)


def zone_for(wait: Wait, lead: Mapping[str, Any], account: Mapping[str, Any]) -> ZoneInfo:
    """The zone that the wait names; the account's when the lead has no valid `timezone`, and UTC when neither has."""
    holders = [lead, account] if not isinstance(wait, WaitSeconds) and wait.zone == "lead" else [account]
    return next((zone for one in holders if (zone := zone_named(one.get("timezone")))), UTC_ZONE)


def zone_named(name: object) -> ZoneInfo | None:
    """The zone of this IANA name (`Europe/Berlin`); None when there is no such zone."""
    if not isinstance(name, str) or not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; not a name; a folder of zones, such as `Europe`
        return None


def _next_time_of_day(wait: WaitUntil, begun: datetime, zone: ZoneInfo) -> datetime:
    today = begun.astimezone(zone).date()
    days = (today + timedelta(days=n) for n in range(len(ALL_WEEK) + 2))
    ends = (_instant(day, wait.time_of_day, zone) for day in days if day.isoweekday() in wait.weekdays)
    return next(end for end in ends if end > begun)


def _business_day(day: date, count: int) -> date:
    """The day that is `count` business days after `day`."""
    while count:
        day += timedelta(days=1)
        count -= day.isoweekday() < SATURDAY
    return day


def _instant(day: date, time_of_day: time, zone: ZoneInfo) -> datetime:
    """When clocks in the zone first show this time of the day; if they skip it, the first instant after the gap."""
    local = datetime.combine(day, time_of_day, zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # In a gap the offset before it gives a moment behind the change of clocks, the offset after it one ahead of it.
    return _change_between(local.replace(fold=1).astimezone(UTC), instant, zone)


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The whole second at which the zone's offset changes between the two moments."""
    before, after = before.replace(microsecond=0), after.replace(microsecond=0) + timedelta(seconds=1)
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after
