"""Slots of scheduled jobs: found, run once, in turn, again after errors and crashes, and never in each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from bson import ObjectId

from pipeline_engine import failpoints
from pipeline_engine.domain.jobs import run, sweep, table
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import Places
from pipeline_engine.domain.jobs.schedule import DailyAt, EveryMinutes
from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.domain.jobs.timetable import job_status
from pipeline_engine.errors import RateLimited
from pipeline_engine.lanes import Snooze
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.crm_jobs import NOON, SLOT, JobApp, Recorder, found_ids, put_in_table, row_of, run_slot, scope, work
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


@pytest.mark.covers("R-11", "CL-X2")
async def test_a_slot_is_run_once_however_often_it_is_dispatched(
    world: World, jobs: JobApp, recorder: Recorder
) -> None:
    id = SlotId(NAME, world.account, SLOT)
    assert found_ids(await sweep.find(job(), jobs)) == [str(id)]

    await asyncio.gather(*(run_slot(jobs, id) for _ in range(5)))
    await run_slot(jobs, id)

    assert recorder.runs == [(world.account, SLOT)]
    row = row_of(world, NAME)
    assert (row["state"], row["counts"], row["lease_owner"]) == ("done", {"done": 1, "failed": 0}, None)
    assert await sweep.find(job(), jobs) == []
    assert await sweep.outcomes(jobs, [str(id), "not begun"]) == {str(id): "succeeded", "not begun": "busy"}


async def test_accounts_that_are_not_active_have_no_slots(world: World, jobs: JobApp, recorder: Recorder) -> None:
    other = world.neighbour()
    world.db["_accounts"].update_one({"_id": other.account}, {"$set": {"active": False}})

    assert found_ids(await sweep.find(job(), jobs)) == [f"{NAME}:{world.account}:{SLOT}"]
    assert (await work(jobs, other.account, NAME))["state"] == "skipped"
    assert (await work(jobs, ObjectId(), NAME))["state"] == "skipped"
    assert recorder.runs == []
    other.close()


@pytest.mark.covers("CL-X12")
async def test_each_account_has_its_own_time_of_day(world: World, jobs: JobApp, recorder: Recorder) -> None:
    east = world.neighbour()
    world.db["business_profiles"].insert_one({"account_id": str(east.account), "timezone": "Pacific/Auckland"})
    west = world.neighbour()
    world.db["_accounts"].update_one({"_id": west.account}, {"$set": {"timezone": "America/Los_Angeles"}})

    assert found_ids(await sweep.find(job(), jobs)) == sorted(
        [f"{NAME}:{world.account}:{SLOT}", f"{NAME}:{east.account}:{SLOT}", f"{NAME}:{west.account}:2026-05-03"]
    )
    jobs.clock.set(datetime(2026, 5, 4, 21, 30, tzinfo=UTC))
    slots = {str(unit.id).rpartition(":")[2] for unit in await sweep.find(job(), jobs)}
    assert slots == {"2026-05-04", "2026-05-05"}
    east.close()
    west.close()


@pytest.mark.covers("R-11")
async def test_after_downtime_only_the_newest_slot_is_caught_up(world: World, jobs: JobApp, recorder: Recorder) -> None:
    await work(jobs, world.account, NAME)
    jobs.clock.set(NOON + timedelta(days=5))

    assert found_ids(await sweep.find(job(), jobs)) == [f"{NAME}:{world.account}:2026-05-09"]


async def test_a_begun_slot_ends_before_a_newer_one_begins(world: World, jobs: JobApp, recorder: Recorder) -> None:
    async def more(work: JobWork) -> JobResult:
        return JobResult(done=1, more=True, cursor={"after": len(recorder.runs)})

    recorder.then = more
    older, newer = SlotId(NAME, world.account, SLOT), SlotId(NAME, world.account, "2026-05-05")
    assert isinstance(await run_slot(jobs, older), Snooze)
    jobs.clock.set(NOON + timedelta(days=1))

    assert found_ids(await sweep.find(job(), jobs)) == [str(older)]
    assert isinstance(await run_slot(jobs, newer), Snooze)
    recorder.then = None
    assert await run_slot(jobs, older) is None
    assert await run_slot(jobs, newer) is None

    assert [slot for _, slot in recorder.runs] == [SLOT, SLOT, "2026-05-05"]
    assert recorder.cursors == [{}, {"after": 1}, {}]
    assert row_of(world, NAME)["counts"] == {"done": 2, "failed": 0}


async def test_a_slot_that_never_began_is_left_out_when_a_later_one_has(
    world: World, jobs: JobApp, recorder: Recorder
) -> None:
    await work(jobs, world.account, NAME, "2026-05-05")

    row = await work(jobs, world.account, NAME, SLOT)

    assert (row["state"], len(recorder.runs)) == ("skipped", 1)


async def test_two_slots_of_an_account_never_run_at_the_same_time(
    world: World, jobs: JobApp, recorder: Recorder
) -> None:
    running: list[str] = []
    most = 0

    async def look(work: JobWork) -> JobResult:
        nonlocal most
        running.append(work.slot)
        most = max(most, len(running))
        await asyncio.sleep(0.05)
        running.remove(work.slot)
        return JobResult()

    recorder.then = look
    slots = ["2026-05-03", SLOT, "once:1", "once:2"]
    await asyncio.gather(*(work(jobs, world.account, NAME, slot) for slot in slots for _ in range(2)))
    for slot in slots:
        await work(jobs, world.account, NAME, slot)

    assert most == 1
    assert {slot for _, slot in recorder.runs} >= {SLOT, "once:1", "once:2"}
    assert len(recorder.runs) == len(set(recorder.runs))


@pytest.mark.covers("CL-X7")
async def test_a_job_follows_another_for_the_same_account(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, other = Recorder(), world.neighbour()
    first = CrmJob("crm.first", DailyAt(time(2)), recorder.run)
    second = CrmJob("crm.second", DailyAt(time(2)), recorder.run, after=("crm.first", "crm.absent"))
    put_in_table(monkeypatch, first, second)
    jobs.clock.set(datetime(2026, 5, 4, 5, 59, tzinfo=UTC))
    assert await sweep.find(second, jobs) == []

    await work(jobs, world.account, "crm.first")

    assert found_ids(await sweep.find(second, jobs)) == [f"crm.second:{world.account}:{SLOT}"]
    counts = (await jobs.queue.counts(["crm.jobs"]))["crm.jobs"]
    assert counts.waiting == 1  # it need not wait for the next look
    put_in_table(monkeypatch, CrmJob("crm.first", DailyAt(time(2)), recorder.run, needs=lambda _: "no key"), second)
    assert len(await sweep.find(second, jobs)) == 2
    other.close()


async def test_a_job_does_not_wait_for_days_for_the_one_before(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def limited(_work: JobWork) -> JobResult:
        raise RateLimited(3600)

    recorder = Recorder()
    recorder.then = limited
    first = CrmJob("crm.first", DailyAt(time(2)), recorder.run)
    second = CrmJob("crm.second", DailyAt(time(2)), Recorder().run, after=("crm.first",))
    put_in_table(monkeypatch, first, second)
    await run_slot(jobs, SlotId("crm.first", world.account, SLOT))
    jobs.clock.set(datetime(2026, 5, 4, 5, 59, tzinfo=UTC))
    assert await sweep.find(second, jobs) == []
    jobs.clock.set(datetime(2026, 5, 4, 6, 1, tzinfo=UTC))

    assert found_ids(await sweep.find(second, jobs)) == [f"crm.second:{world.account}:{SLOT}"]


@pytest.mark.covers("CL-31")
async def test_a_job_that_is_left_out_is_neither_found_nor_run(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    left_out = CrmJob(NAME, EveryMinutes(10), recorder.run, needs=lambda _: "APOLLO_API_KEY is not set")
    put_in_table(monkeypatch, left_out)
    assert await sweep.find(left_out, jobs) == []
    assert await run_slot(jobs, SlotId(NAME, world.account, SLOT)) is None
    assert (recorder.runs, world.db["cron_slots"].count_documents({})) == ([], 0)


async def test_nothing_due_for_many_accounts_costs_a_few_queries(
    world: World, jobs: JobApp, recorder: Recorder, tmp_path: Path
) -> None:
    accounts = [ObjectId() for _ in range(1000)]
    world.db["_accounts"].insert_many([{"_id": id, "active": True} for id in accounts])
    rows = [
        {"_id": f"{NAME}:{id}:{SLOT}", "job": NAME, "account_id": id, "slot": SLOT, "state": "done"}
        for id in [*accounts, world.account]
    ]
    world.db["cron_slots"].insert_many(rows)
    log = tmp_path / "failpoints"
    failpoints.arm(None, str(log))
    try:
        assert await sweep.find(job(), jobs) == []
        first = log.read_text().count(" before")
        assert await sweep.find(job(), jobs) == []
    finally:
        failpoints.disarm()
    assert first <= 5
    assert log.read_text().count(" before") - first <= 2  # accounts are read once for all jobs of a tick


async def test_a_row_of_another_engine_is_left_alone(world: World, jobs: JobApp, recorder: Recorder) -> None:
    """What a newer daemon, or a hand, has put into the lane or the collection."""
    for text in ("", "crm.newer:x", f"crm.newer:{world.account}:{SLOT}", f"{NAME}:nobody:{SLOT}"):
        assert await run.run_slot(jobs, Places(), text) is None
    odd = {"state": "due", "job": NAME, "account_id": world.account, "slot": 7, "attempts": "x", "counts": []}
    world.db["cron_slots"].insert_one({"_id": "odd", **odd})
    assert await sweep.find_begun(jobs) == []
    await work(jobs, world.account, NAME)
    assert recorder.runs == [(world.account, SLOT)]


async def test_an_account_that_the_job_does_not_concern_has_no_slots(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def concerns(_repos: JobRepos, _now: datetime) -> Set[ObjectId]:
        return {world.account, ObjectId()}

    named, other = CrmJob(NAME, DailyAt(time(9)), Recorder().run, concerns=concerns), world.neighbour()
    put_in_table(monkeypatch, named)

    assert found_ids(await sweep.find(named, jobs)) == [f"{NAME}:{world.account}:{SLOT}"]
    assert len(await sweep.find_now(named, jobs)) == 2  # an operator may run it for any
    assert (await job_status(named, jobs.repos, NOON)).open == 1
    other.close()
