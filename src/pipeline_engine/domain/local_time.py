"""Local time: moments at which the clocks of a zone show a time of day, and business days. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

SATURDAY = 6
"""As in ISO 8601: 1 is Monday, 7 is Sunday."""

IsHoliday = Callable[[date], bool]


def first_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first moment, in UTC, at which the zone's clock shows the local time or, after a gap, a later one."""
    # In a gap the two readings lie on either side of it; else the first is the earlier or the only one.
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return first
    before, after = int(second.timestamp()) - 1, int(first.timestamp())
    while after - before > 1:  # the gap ends at the first second whose local time is not before the wanted one
        middle = (before + after) // 2
        shown = datetime.fromtimestamp(middle, zone).replace(tzinfo=None)
        before, after = (before, middle) if shown >= local else (middle, after)
    return datetime.fromtimestamp(after, UTC)


def after_business_days(begun: datetime, count: int, zone: ZoneInfo, is_holiday: IsHoliday) -> datetime:
    """The moment, in UTC, `count` business days after `begun`, at the same time of day in the zone. Saturdays, Sundays
    and holidays do not count."""
    local = begun.astimezone(zone)
    day = local.date()
    while count > 0:
        day += timedelta(days=1)
        count -= day.isoweekday() < SATURDAY and not is_holiday(day)
    return first_instant(datetime.combine(day, local.time()), zone)


@cache
def holidays_of(country: str) -> IsHoliday:
    """Whether a day is a public holiday of the country (ISO 3166 alpha-2); never, where the country is not known."""
    import holidays  # which takes 0.1 s

    try:
        days = holidays.country_holidays(country)
    except (NotImplementedError, KeyError, ValueError):
        return lambda _day: False
    return lambda day: day in days
