"""The timetable."""

from __future__ import annotations

import pytest

from pipeline_engine import settings
from pipeline_engine.cron import TIMETABLE, cron_jobs


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
    chosen = configured(import_sweep_seconds=every)
    job = cron_jobs(TIMETABLE[:1], chosen, {"deals.import": lambda: None})[0]
    assert (job.second, job.minute) == (seconds, minutes)


def test_the_seeds_five_seconds_are_the_default() -> None:
    assert TIMETABLE[0].every(configured()) == 5


def test_cron_jobs_leave_nothing_behind_in_redis() -> None:
    pokes = {sweep.name: lambda: None for sweep in TIMETABLE}
    jobs = cron_jobs(TIMETABLE, configured(), pokes)
    assert {(job.unique, job.keep_result_s, job.keep_result_forever) for job in jobs} == {(False, 0, False)}


async def test_a_cron_job_only_pokes() -> None:
    poked: list[str] = []
    job = cron_jobs(TIMETABLE[:1], configured(), {"deals.import": lambda: poked.append("import")})[0]
    await job.coroutine({})
    assert poked == ["import"]


def test_names_of_sweeps_are_unique() -> None:
    names = [sweep.name for sweep in TIMETABLE]
    assert len(names) == len(set(names))
