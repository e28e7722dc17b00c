"""Jobs that run by time of day or at fixed intervals, once per slot. Pure. No system has one yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipeline_engine.app import App


@dataclass(frozen=True)
class DailyAt:
    """Once per local day, from this time of day on. A time within a DST gap means the first instant after the gap."""

    time_of_day: time

    def slot(self, now: datetime, zone: ZoneInfo) -> str:
        """The local date of the newest slot that has begun, as `2026-03-29`."""
        local = now.astimezone(zone)
        begun = local.replace(tzinfo=None) >= datetime.combine(local.date(), self.time_of_day)
        return (local.date() if begun else local.date() - timedelta(days=1)).isoformat()


@dataclass(frozen=True)
class EveryMinutes:
    """Every so many minutes, counted from midnight UTC."""

    minutes: int

    def slot(self, now: datetime, _zone: ZoneInfo) -> str:
        """The start of the newest interval, as `2026-03-29T01:30Z`."""
        utc = now.astimezone(ZoneInfo("UTC"))
        minute = (utc.hour * 60 + utc.minute) // self.minutes * self.minutes
        return f"{utc.date().isoformat()}T{minute // 60:02}:{minute % 60:02}Z"


@dataclass(frozen=True)
class ScheduledJob:
    """One row: `run` does the slot's work of one account. (name, account, slot) is done once over all daemons."""

    name: str
    schedule: DailyAt | EveryMinutes
    run: Callable[[App, str], Awaitable[None]]
