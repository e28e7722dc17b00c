"""The timetable: one row per sweep, in clock order. arq's cron only wakes a sweep, which is a supervised loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arq.cron import CronJob, cron

from pipeline_engine.settings import Settings
from pipeline_engine.workers.scheduled_job import ScheduledJob
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

WakeUps = Mapping[str, Callable[[], None]]
"""Name of a row → what starts it."""
Row = Sweep[Any] | ScheduledJob

TICK_SECONDS = 900.0
"""Scheduled jobs are asked this often whose slot has come: the timetable of the CRM has no finer time of day."""

# Unique jobs would need Redis to remember ids for a minute, which a sweep every five seconds does not survive.
PRIVATE: dict[str, Any] = {"unique": False, "keep_result": 0, "timeout": 10}


def timetable(systems: Sequence[System[Any]], settings: Settings) -> list[tuple[float, Row]]:
    """(seconds between two wake-ups, row) of all sweeps and scheduled jobs of these systems, the soonest first."""
    sweeps: list[tuple[float, Row]] = [(one.every(settings), one) for system in systems for one in system.sweeps]
    scheduled: list[tuple[float, Row]] = [(TICK_SECONDS, one) for system in systems for one in system.scheduled]
    return sorted([*sweeps, *scheduled], key=lambda row: (row[0], row[1].name))


def cron_jobs(rows: Sequence[tuple[float, Row]], wake_ups: WakeUps) -> list[CronJob]:
    """One arq cron job per row that wakes it and returns at once."""
    return [cron(_waker(row, wake_ups), **_times(every), **PRIVATE) for every, row in rows]


def _waker(row: Row, wake_ups: WakeUps) -> Any:
    async def wake(_context: dict[Any, Any]) -> None:
        wake_ups[row.name]()

    wake.__qualname__ = f"wake {row.name}"
    return wake


def _times(every: float) -> dict[str, Any]:
    """arq's clock fields for "about every so many seconds", at most once an hour."""
    seconds = max(1, round(every))
    if seconds < 60:
        return {"second": set(range(0, 60, seconds))}
    return {"second": {0}, "minute": set(range(0, 60, min(60, seconds // 60)))}
