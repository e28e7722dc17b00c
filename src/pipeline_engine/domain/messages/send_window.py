"""When an account may send messages: hours of the day, weekdays, and not on public holidays. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipeline_engine.domain.local_time import first_instant, holidays_of
from pipeline_engine.errors import Permanent

WEEK = range(1, 8)
ALL_WEEK = frozenset(WEEK)
"""As in ISO 8601: 1 is Monday, 7 is Sunday."""
TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
MIDNIGHT = "24:00"
MAX_DAYS_AHEAD = 30
"""A window that stays closed for longer is a mistake."""
LAST_CALL = timedelta(minutes=1)
FIELDS = frozenset({"from", "to", "weekdays", "holidays", "zone"})
BAD_WINDOW = "bad_send_window"


@dataclass(frozen=True)
class Opening:
    """One time for which the window is open, in UTC; `ends` does not belong to it."""

    begins: datetime
    ends: datetime

    @property
    def last_call(self) -> datetime:
        """From then on no message is begun, as it may take a while to be sent."""
        return self.ends - min(LAST_CALL, (self.ends - self.begins) / 4)


@dataclass(frozen=True)
class SendWindow:
    """`closes` is a time of the next day when it is not later than `opens`; weekday and holiday are those of the day on
    which it opens. `country`: whose public holidays are left out, if any are; `by_contact`: by the receiver's clock."""

    opens: time = time()
    closes: time = time()
    weekdays: frozenset[int] = ALL_WEEK
    country: str | None = None
    by_contact: bool = False

    def next_opening(self, now: datetime, zone: ZoneInfo) -> Opening | None:
        """The opening in which a message of `now` goes out: the one that lasts, or the next one; None without one
        within 30 days."""
        openings = self._openings(now.astimezone(zone).date(), zone)
        return next((one for one in openings if one.last_call > now), None)

    def _openings(self, today: date, zone: ZoneInfo) -> Iterator[Opening]:
        is_holiday = holidays_of(self.country) if self.country else lambda _day: False
        days = (today + timedelta(days=n) for n in range(-1, MAX_DAYS_AHEAD + 1))
        for day in days:
            if day.isoweekday() in self.weekdays and not is_holiday(day):
                last = day if self.closes > self.opens else day + timedelta(days=1)
                begins = first_instant(datetime.combine(day, self.opens), zone)
                ends = first_instant(datetime.combine(last, self.closes), zone)
                if begins < ends:  # clocks may skip the whole of it
                    yield Opening(begins, ends)


def read_send_window(raw: object, country: object) -> SendWindow | None:
    """The `send_window` of a business profile; None without one: any hour will do. `country` is the account's.

    Raises: Permanent `bad_send_window` that names the field.
    """
    if raw is None or raw == {}:
        return None
    if not isinstance(raw, Mapping) or not raw.keys() <= FIELDS:
        raise _refused(f"an object with the fields {', '.join(sorted(FIELDS))} is wanted")
    zone = raw.get("zone") or "account"
    if zone not in ("account", "contact"):
        raise _refused("zone is neither account nor contact")
    return SendWindow(
        opens=_time(raw, "from"),
        closes=_time(raw, "to"),
        weekdays=_weekdays(raw.get("weekdays")),
        country=country if raw.get("holidays") is True and isinstance(country, str) else None,
        by_contact=zone == "contact",
    )


def _time(raw: Mapping[str, object], field: str) -> time:
    value = raw.get(field)
    if value is None or value == MIDNIGHT:
        return time()
    found = TIME_OF_DAY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refused(f"{field} is no time of day such as 09:00")
    return time(int(found[1]), int(found[2]))


def _weekdays(value: object) -> frozenset[int]:
    if value is None:
        return ALL_WEEK
    given = value if isinstance(value, list) else []
    days = frozenset(int(one) for one in given if one in WEEK)
    if not days or any(one not in WEEK for one in given):
        raise _refused("weekdays is no list of numbers from 1 (Monday) to 7")
    return days


def _refused(reason: str) -> Permanent:
    return Permanent(f"send_window of the business profile: {reason}", BAD_WINDOW)
