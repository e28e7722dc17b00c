"""The timetable."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from pipeline_engine import settings, workers
from pipeline_engine.cron import cron_jobs, timetable
from pipeline_engine.domain.jobs.schedule import DailyAt, EveryMinutes


def configured(**given: object) -> settings.Settings:
    return settings.load(_env_file=None, **given)


@pytest.mark.parametrize(
    ("every", "seconds", "minutes"),
    [
        (5, set(range(0, 60, 5)), None),
        (0.2, set(range(60)), None),
        (60, {0}, set(range(60))),
        (300, {0}, set(range(0, 60, 5))),
        (7200, {0}, {0}),
    ],
)
@pytest.mark.covers("DI-01")
def test_an_interval_becomes_the_clock_fields_of_arq(every: float, seconds: set[int], minutes: set[int] | None) -> None:
    _, sweep = workers.sweeps()["deals.import"]
    job = cron_jobs([(every, sweep)], {"deals.import": lambda: None})[0]
    assert (job.second, job.minute) == (seconds, minutes)


def test_the_seeds_five_seconds_are_the_default() -> None:
    _, sweep = workers.sweeps()["deals.import"]
    assert sweep.every(configured()) == 5


def test_cron_jobs_leave_nothing_behind_in_redis() -> None:
    rows = timetable(workers.SYSTEMS, configured())
    jobs = cron_jobs(rows, {row.name: lambda: None for _, row in rows})
    assert {(job.unique, job.keep_result_s, job.keep_result_forever) for job in jobs} == {(False, 0, False)}


async def test_a_cron_job_only_wakes_its_sweep() -> None:
    woken: list[str] = []
    _, sweep = workers.sweeps()["deals.import"]
    (job,) = cron_jobs([(5, sweep)], {"deals.import": lambda: woken.append("import")})
    await job.coroutine({})
    assert woken == ["import"]


def test_the_timetable_holds_every_sweep_once_in_clock_order() -> None:
    rows = timetable(workers.SYSTEMS, configured())
    assert sorted(row.name for _, row in rows) == sorted(workers.sweeps())
    assert [every for every, _ in rows] == sorted(every for every, _ in rows)


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (datetime(2026, 3, 28, 0, 59, tzinfo=UTC), "2026-03-27"),
        (datetime(2026, 3, 28, 1, 0, tzinfo=UTC), "2026-03-28"),
        # On 29 March 02:00 does not exist in Berlin: the first valid instant after it is 03:00, which is 01:00 UTC.
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "2026-03-28"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "2026-03-29"),
        # On 25 October 02:00 comes twice: the first one, 00:00 UTC, begins the slot.
        (datetime(2026, 10, 24, 23, 59, tzinfo=UTC), "2026-10-24"),
        (datetime(2026, 10, 25, 0, 0, tzinfo=UTC), "2026-10-25"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25"),
    ],
)
def test_a_daily_slot_begins_once_per_local_day(now: datetime, slot: str) -> None:
    assert DailyAt(time(2)).slot(now, ZoneInfo("Europe/Berlin")) == slot


def test_a_slot_of_some_minutes_begins_with_the_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert EveryMinutes(30).slot(datetime(2026, 3, 29, 1, 44, tzinfo=UTC), berlin) == "2026-03-29T01:30Z"
    assert EveryMinutes(120).slot(datetime(2026, 3, 29, 1, 44, tzinfo=UTC), berlin) == "2026-03-29T00:00Z"
