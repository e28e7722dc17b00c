"""Slots whose job fails, hangs, is held up by a limit or loses its process."""

from __future__ import annotations

import asyncio
from datetime import time, timedelta

import pytest

from pipeline_engine.domain.jobs import run, sweep, table
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import ATTEMPTS, RETRY_SECONDS
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.errors import RateLimited, Transient
from pipeline_engine.lanes import Snooze
from tests.support.crm_jobs import SLOT, JobApp, Recorder, found_ids, put_in_table, row_of, run_slot, scope, work
from tests.support.engine_app import EngineApp
from tests.support.world import World

NAME = "crm.recorder"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    put_in_table(monkeypatch, CrmJob(NAME, DailyAt(time(9)), recorder.run))
    return recorder


def job() -> CrmJob:
    return table.JOBS[0]


@pytest.fixture
def jobs(app: EngineApp) -> JobApp:
    return scope(app)


async def test_an_error_is_one_of_three_attempts(world: World, jobs: JobApp, recorder: Recorder) -> None:
    async def fail(_work: JobWork) -> JobResult:
        raise Transient("on purpose")

    recorder.then = fail
    id = SlotId(NAME, world.account, SLOT)
    for attempt in range(1, ATTEMPTS + 1):
        outcome = await run_slot(jobs, id)
        assert isinstance(outcome, Snooze) is (attempt < ATTEMPTS)
        assert await run_slot(jobs, id) is None  # not before its pause is over
        assert await sweep.find(job(), jobs) == []
        jobs.clock.set(jobs.clock.now() + timedelta(seconds=RETRY_SECONDS + 1))

    row = row_of(world, NAME)
    assert (row["state"], row["attempts"], row["error"]) == ("failed", 3, "on purpose")
    assert len(recorder.runs) == ATTEMPTS
    assert await sweep.find(job(), jobs) == []


async def test_a_rate_limit_uses_no_attempt(world: World, jobs: JobApp, recorder: Recorder) -> None:
    async def limited(_work: JobWork) -> JobResult:
        raise RateLimited(7)

    recorder.then = limited
    for _ in range(ATTEMPTS + 2):
        assert await run_slot(jobs, SlotId(NAME, world.account, SLOT)) == Snooze(7)
        jobs.clock.set(jobs.clock.now() + timedelta(seconds=8))
    recorder.then = None

    row = await work(jobs, world.account, NAME)

    assert (row["state"], row["attempts"]) == ("done", 1)


async def test_a_run_whose_process_died_is_found_and_run_again(world: World, jobs: JobApp, recorder: Recorder) -> None:
    class Died(BaseException):
        """Stands for the end of the process."""

    async def die(_work: JobWork) -> JobResult:
        raise Died

    recorder.then = die
    id = SlotId(NAME, world.account, SLOT)
    with pytest.raises(Died):
        await run_slot(jobs, id)
    assert await sweep.find_begun(jobs) == []
    world.abandon("cron_slots", str(id))
    assert found_ids(await sweep.find_begun(jobs)) == found_ids(await sweep.find(job(), jobs)) == [str(id)]
    recorder.then = None

    row = await work(jobs, world.account, NAME)

    assert (row["state"], row["crashes"]) == ("done", 1)


async def test_a_slot_that_ends_processes_is_given_up(world: World, jobs: JobApp, recorder: Recorder) -> None:
    await jobs.repos.cron_slots.open(f"{NAME}:{world.account}:{SLOT}", NAME, world.account, SLOT, False)
    world.abandon("cron_slots", f"{NAME}:{world.account}:{SLOT}", crashes=run.MAX_CRASHES - 1)

    row = await work(jobs, world.account, NAME)

    assert (row["state"], recorder.runs) == ("failed", [])


@pytest.mark.covers("R-11")
async def test_a_neighbour_that_hangs_costs_its_own_slot_only(
    world: World, jobs: JobApp, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SLICE_SECONDS", 0.05)
    monkeypatch.setattr(run, "HANG_SECONDS", 0.1)
    other = world.neighbour()

    async def hang(work: JobWork) -> JobResult:
        if work.account_id == other.account:
            await asyncio.Event().wait()
        return JobResult()

    recorder.then = hang
    theirs, ours = await asyncio.gather(
        run_slot(jobs, SlotId(NAME, other.account, SLOT)), work(jobs, world.account, NAME)
    )

    assert (isinstance(theirs, Snooze), ours["state"]) == (True, "done")
    found = world.db["cron_slots"].find_one({"account_id": other.account})
    assert found
    assert (found["state"], found["attempts"]) == ("due", 1)
    assert "did not return within" in found["error"]
    other.close()
