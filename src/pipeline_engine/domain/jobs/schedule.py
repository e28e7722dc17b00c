"""When a job runs: slots by local time of day or at fixed intervals. Pure.

A slot is a text that sorts by time. An account's slots depend on its time zone and on nothing that any process
remembers, so every daemon names them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipeline_engine.domain.local_time import first_instant

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class DailyAt:
    """Once per local day, from this time of day on.

    A time within a DST gap means the first instant after the gap; of a time that comes twice it means the first. A day
    that a zone leaves out has no slot.
    """

    time_of_day: time
    tick_seconds: float = 900.0
    """How often a daemon looks for a new slot; the CRM's times of day are quarter hours."""
    late_after: timedelta = timedelta(hours=2)
    """An account for which no slot has ended since the one of this long ago is late."""

    def slot(self, now: datetime, zone: ZoneInfo) -> str:
        """The local date of the newest slot that has begun, as `2026-03-29`."""
        return next(day for day, start in self._around(now, zone) if start <= now).isoformat()

    def start(self, slot: str, zone: ZoneInfo) -> datetime:
        """The moment in UTC at which the slot begins in that zone."""
        return first_instant(datetime.combine(date.fromisoformat(slot), self.time_of_day), zone)

    def next_start(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The moment in UTC at which the first slot after `now` begins."""
        return min(start for _, start in self._around(now, zone) if start > now)

    def _around(self, now: datetime, zone: ZoneInfo) -> Iterator[tuple[date, datetime]]:
        """The days around `now` that exist in the zone, the latest first, each with the start of its slot."""
        today = now.astimezone(zone).date()
        for day in (today + DAY * n for n in (2, 1, 0, -1, -2, -3)):
            if _exists(day, zone):
                yield day, first_instant(datetime.combine(day, self.time_of_day), zone)


@dataclass(frozen=True)
class EveryMinutes:
    """Every so many minutes, counted from midnight UTC. `minutes` divides a day."""

    minutes: int

    def __post_init__(self) -> None:
        if self.minutes < 1 or 1440 % self.minutes:
            raise ValueError(f"{self.minutes} minutes do not divide a day")

    @property
    def tick_seconds(self) -> float:
        """How often a daemon looks for a new slot: a slot begins at most a tenth of the interval late."""
        return min(900.0, self.minutes * 6.0)

    @property
    def late_after(self) -> timedelta:
        """An account for which no slot has ended since the one of this long ago is late."""
        return max(MINUTE * 15, MINUTE * self.minutes)

    def slot(self, now: datetime, _zone: ZoneInfo) -> str:
        """The start of the newest interval, as `2026-03-29T01:30Z`."""
        return f"{self._start(now):%Y-%m-%dT%H:%M}Z"

    def start(self, slot: str, _zone: ZoneInfo) -> datetime:
        """The moment in UTC at which the slot begins."""
        return datetime.fromisoformat(slot).astimezone(UTC)

    def next_start(self, now: datetime, _zone: ZoneInfo) -> datetime:
        """The moment in UTC at which the first slot after `now` begins."""
        return self._start(now) + MINUTE * self.minutes

    def _start(self, now: datetime) -> datetime:
        utc = now.astimezone(UTC)
        midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + (utc - midnight) // (MINUTE * self.minutes) * (MINUTE * self.minutes)


Schedule = DailyAt | EveryMinutes


def slots_since(schedule: Schedule, moment: datetime, now: datetime, zone: ZoneInfo) -> list[str]:
    """The slot in which the moment lies, and all that have begun since."""
    slots = []
    while moment <= now:
        slots.append(schedule.slot(moment, zone))
        moment = schedule.next_start(moment, zone)
    return slots


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Whether the zone has this day; a zone that crossed the date line has left one out."""
    return first_instant(datetime.combine(day, time()), zone).astimezone(zone).date() <= day
