"""Scheduled jobs on real servers without the lanes between: tests decide which slot runs when, and what time it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.events.jobs import RELAY
from pipeline_engine.domain.jobs import run, sweep, table
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.lane import Places
from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.world import World

Document = dict[str, Any]
SLOT = "2026-05-04"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MAX_SLICES = 100

JobApp = App[JobRepos]


def scope(app: App) -> JobApp:
    """The app of scheduled jobs, at noon of the day of SLOT."""
    app.clock.set(NOON)
    return app.with_repos(JobRepos.open)


async def run_slot(app: JobApp, id: SlotId) -> Outcome | None:
    """One slice of a slot."""
    await app.heartbeat.beat()  # no heartbeat runs here
    return await run.run_slot(app, Places(), str(id))


async def work(app: JobApp, account: ObjectId, job: str, slot: str = SLOT) -> Document:
    """The slot to its end, as the lane would have it. Returns its row."""
    id = SlotId(job, account, slot)
    for _ in range(MAX_SLICES):
        if not isinstance(await run_slot(app, id), Snooze):
            break
    found = await app.repos.cron_slots.get(str(id))
    assert found
    return found


async def relay_all(app: App) -> None:
    """Publish what a crash left in `events_due`, as the sweep of events does."""
    for unit in await relay.find(app):
        for kind, id in unit.jobs:
            if kind is RELAY:
                await relay.run_relay(app, set(), id)


def row_of(world: World, job: str, slot: str = SLOT) -> Document:
    found = world.db["cron_slots"].find_one({"_id": f"{job}:{world.account}:{slot}"})
    assert found
    return found


class Recorder:
    """What a job of a test does: it notes its runs and then does what the test says."""

    def __init__(self) -> None:
        self.runs: list[tuple[ObjectId, str]] = []
        self.cursors: list[Document] = []
        self.then: Callable[[JobWork], Awaitable[JobResult]] | None = None

    async def run(self, work: JobWork) -> JobResult:
        self.runs.append((work.account_id, work.slot))
        self.cursors.append(work.cursor)
        return await self.then(work) if self.then else JobResult(done=1)


def put_in_table(monkeypatch: pytest.MonkeyPatch, *jobs: CrmJob) -> None:
    """Let these be the jobs that there are."""
    for module in (table, run, sweep):
        monkeypatch.setattr(module, "JOBS", jobs)


def found_ids(units: list[Any]) -> list[str]:
    return sorted(unit.id for unit in units)
