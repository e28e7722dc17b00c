"""Four daemons through days of simulated time, with a change of the clocks, kills and an outage: every slot once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from pipeline_engine import engine as engines
from pipeline_engine import workers
from pipeline_engine.app import App
from pipeline_engine.domain.jobs import sweep
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt, EveryMinutes
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.engine import Engine
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from pipeline_engine.workers.crm_jobs import SYSTEM, sweep_of
from tests.support.crm_jobs import Recorder, put_in_table
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

BEGIN = datetime(2026, 3, 27, 20, tzinfo=UTC)  # the clocks of Europe change in the night to the 29th
ZONES = ["Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kolkata", "Africa/Casablanca", None]
OUTAGE = BEGIN + timedelta(hours=30), BEGIN + timedelta(hours=41)
SLOW_SLICES = 3
PLACES = 4
"""Of the lane `crm.jobs` in a daemon."""


class Work:
    """What the jobs do: it is written down when which account's slot was worked on, and never by two at a time."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, ObjectId, str]] = Counter()
        self.overlaps: list[object] = []
        self._running: set[tuple[str, ObjectId]] = set()

    def job(self, name: str, schedule: DailyAt | EveryMinutes, after: tuple[str, ...] = ()) -> CrmJob:
        async def run(work: JobWork) -> JobResult:
            mine = (name, work.account_id)
            if mine in self._running:
                self.overlaps.append((mine, work.slot))
            self._running.add(mine)
            try:
                await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311
                slices = work.cursor.get("slices", 0) + 1
                if name == "crm.slow" and slices < SLOW_SLICES:
                    return JobResult(done=1, more=True, cursor={"slices": slices})
                self.ended[name, work.account_id, work.slot] += 1
                return JobResult(done=1)
            finally:
                self._running.discard(mine)

        return CrmJob(name, schedule, run, after=after)


class Daemon:
    """The lanes and the sweeps of a daemon, whose clock the test moves."""

    def __init__(self, app: App, stack: AsyncExitStack) -> None:
        self.app, self._stack = app, stack
        self.engine = Engine(app)
        self.scope: App[JobRepos] = self.engine.scopes[SYSTEM.name]

    @classmethod
    async def begin(cls, settings: Settings) -> Daemon:
        stack = AsyncExitStack()
        daemon = cls(await stack.enter_async_context(workers.open_app(settings)), stack)
        await daemon.engine.start()
        return daemon

    async def look(self, now: datetime, jobs: list[CrmJob]) -> None:
        self.app.clock.set(now)
        for job in jobs:
            await dispatch(self.app, await sweep.find(job, self.scope))
        await dispatch(self.app, await sweep.find_begun(self.scope))

    async def end(self) -> None:
        await self.engine.stop(1.0)
        await self._stack.aclose()

    async def idle(self) -> bool:
        return (await self.app.queue.counts(["crm.jobs"]))["crm.jobs"].unfinished == 0


@pytest.fixture
async def daemons(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Daemon]]:
    async def stand_still(_app: App) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(engines, "keep_time", stand_still)
    monkeypatch.setattr(workers, "SYSTEMS", (SYSTEM,))
    daemons = [await Daemon.begin(configured) for _ in range(4)]
    yield daemons
    await asyncio.gather(*(daemon.end() for daemon in daemons))


def accounts(world: World) -> dict[ObjectId, ZoneInfo]:
    """Three accounts in each zone."""
    world.db["_accounts"].delete_many({})
    named = [(ObjectId(), name) for name in ZONES * 3]
    world.db["_accounts"].insert_many([{"_id": id, "active": True, "timezone": name} for id, name in named])
    return {id: ZoneInfo(name or "UTC") for id, name in named}


def expected(jobs: list[CrmJob], zones: dict[ObjectId, ZoneInfo], looks: list[datetime]) -> set[Any]:
    """Every slot that was the newest at some look."""
    return {
        (job.name, account, job.schedule.slot(now, zone))
        for job in jobs
        for account, zone in zones.items()
        for now in looks
    }


@pytest.mark.parametrize("days", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.covers("R-11", "CL-X2", "CL-X12")
async def test_every_slot_once_over_four_daemons_and_days(
    world: World, configured: Settings, daemons: list[Daemon], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    work, zones = Work(), accounts(world)
    jobs = [
        work.job("crm.first", DailyAt(time(2))),
        work.job("crm.slow", DailyAt(time(2)), after=("crm.first",)),
        work.job("crm.often", EveryMinutes(120)),
    ]
    put_in_table(monkeypatch, *jobs)
    looks, now, chance, ends = [], BEGIN, random.Random(14), 0  # noqa: S311
    while now < BEGIN + timedelta(days=days):
        now += timedelta(minutes=60)
        if OUTAGE[0] <= now < OUTAGE[1]:
            continue
        looks.append(now)
        await asyncio.gather(*(daemon.look(now, jobs) for daemon in daemons))
        if now.hour % 12 == 3:  # one of them ends in the middle of its work and another takes its place
            victim = chance.randrange(4)
            await daemons[victim].end()
            ends += 1
            daemons[victim] = await Daemon.begin(configured)
            await daemons[victim].look(now, jobs)
        await eventually(daemons[0].idle, f"the lane is empty at {now}", 30)

    # Slots that wait for another job are woken by it, so none is left for a later look.
    wanted = expected(jobs, zones, looks)
    assert set(work.ended) == wanted
    # What a daemon had done when it ended, and not yet written down, is done again: at most what it had places for.
    assert sum(work.ended.values()) - len(work.ended) <= PLACES * ends
    assert work.overlaps == []
    rows = world.db["cron_slots"].aggregate([{"$group": {"_id": "$state", "count": {"$sum": 1}}}])
    assert {row["_id"]: row["count"] for row in rows} == {"done": len(wanted)}
    berlin = Counter(one[2] for one in work.ended if one[0] == "crm.first" and zones[one[1]].key == ZONES[0])
    assert berlin == {f"2026-03-{27 + day}": 3 for day in range(days + 1)}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A job that follows its schedule, and one that is not configured."""
    recorder = Recorder()
    named = CrmJob("crm.recorder", EveryMinutes(10), recorder.run)
    unable = CrmJob("crm.unable", EveryMinutes(10), recorder.run, needs=lambda _: "LLM_BASE_URL is not set")
    put_in_table(monkeypatch, named, unable)
    system = replace(SYSTEM, sweeps=(sweep_of(named), sweep_of(unable)))
    monkeypatch.setattr(workers, "SYSTEMS", (system,))
    return recorder


@pytest.mark.covers("CL-31")
async def test_run_once_runs_a_job_whatever_its_slot_says(
    world: World, app: EngineApp, configured: Settings, recorder: Recorder
) -> None:
    other = world.neighbour()
    for _ in range(2):
        results = (await run_once(configured, ["crm.recorder", "crm.unable"])).results
        assert [(one.units, one.succeeded, one.skipped) for one in results] == [
            (2, 2, None),
            (0, 0, "LLM_BASE_URL is not set"),
        ]
    assert len(recorder.runs) == 4
    assert all(slot.startswith("once:") for _, slot in recorder.runs)

    off = configured.model_copy(update={"crm_jobs_off": "recorder"})
    (result,) = (await run_once(off, ["crm.recorder"])).results
    assert result.skipped == "switched off by CRM_JOBS_OFF"
    (result,) = (await run_once(configured, ["crm.recorder"], str(other.account))).results
    assert (result.units, recorder.runs[-1][0], len(recorder.runs)) == (1, other.account, 5)
    other.close()


async def test_run_once_waits_for_slices_and_counts_failures(
    world: World, app: EngineApp, configured: Settings, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, hanging = world.neighbour(), world.neighbour()
    monkeypatch.setattr("pipeline_engine.domain.jobs.run.RETRY_SECONDS", 0.1)
    monkeypatch.setattr("pipeline_engine.domain.jobs.run.SLICE_SECONDS", 0.1)
    monkeypatch.setattr("pipeline_engine.domain.jobs.run.HANG_SECONDS", 0.2)

    async def act(work: JobWork) -> JobResult:
        if work.account_id == bad.account:
            raise ValueError("on purpose")
        if work.account_id == hanging.account:
            await asyncio.Event().wait()
        slices = work.cursor.get("slices", 0) + 1
        return JobResult(done=1, more=slices < 4, cursor={"slices": slices})

    recorder.then = act
    (result,) = (await run_once(configured, ["crm.recorder"])).results

    assert (result.units, result.succeeded, result.failed, result.busy) == (3, 1, 2, 0)
    assert Counter(account for account, _ in recorder.runs) == {world.account: 4, bad.account: 3, hanging.account: 3}
    (row,) = world.db["cron_slots"].find({"account_id": world.account})
    assert row["counts"] == {"done": 4, "failed": 0}
    bad.close()
    hanging.close()


def test_the_real_system_has_a_row_for_every_job() -> None:
    assert [one.name for one in SYSTEM.sweeps] == [job.name for job in JOBS]
    assert [one.name for one in SYSTEM.sweeps if one.find_abandoned] == [JOBS[0].name, "crm.token_check"]
