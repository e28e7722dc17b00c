"""The timetable: one row per sweep. arq's cron only wakes them; loops of the engine run them.

arq keeps its next run as wall time, so a clock that goes back stops it. Loops therefore also wake by themselves, by the
monotonic clock (`sweeper.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arq.cron import CronJob, cron

from pipeline_engine.settings import Settings
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

WakeUps = Mapping[str, Callable[[], None]]
"""{name of a row: what wakes it}."""
Row = Sweep[Any]

# arq keeps the id of a unique job for a minute, which would block a sweep that runs every five seconds.
CRON_OPTIONS: dict[str, Any] = {"unique": False, "keep_result": 0, "timeout": 10}


def timetable(systems: Sequence[System[Any]], settings: Settings) -> list[tuple[float, Row]]:
    """(seconds between two wake-ups, sweep) of all sweeps of these systems, the most frequent first."""
    sweeps: list[tuple[float, Row]] = [(one.every(settings), one) for system in systems for one in system.sweeps]
    return sorted(sweeps, key=lambda row: (row[0], row[1].name))


def cron_jobs(rows: Sequence[tuple[float, Row]], wake_ups: WakeUps) -> list[CronJob]:
    """One arq cron job per row, which wakes the row and returns at once."""
    return [cron(_waker(row, wake_ups), **_times(every), **CRON_OPTIONS) for every, row in rows]


def _waker(row: Row, wake_ups: WakeUps) -> Any:
    async def wake(_context: dict[Any, Any]) -> None:
        wake_ups[row.name]()

    wake.__qualname__ = f"wake {row.name}"
    return wake


def _times(every: float) -> dict[str, Any]:
    """arq's clock fields for about every `every` seconds; more than an hour becomes an hour."""
    seconds = max(1, round(every))
    if seconds < 60:
        return {"second": set(range(0, 60, seconds))}
    return {"second": {0}, "minute": set(range(0, 60, min(60, seconds // 60)))}
