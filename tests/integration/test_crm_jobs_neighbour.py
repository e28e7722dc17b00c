"""Every scheduled job, while the same job hangs for a neighbour: its own account's slot ends in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from pipeline_engine.domain.jobs.crm_job import JobResult, JobWork
from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.domain.jobs.table import JOBS, job_named
from tests.support.crm_jobs import NOON, put_in_table, run_slot, scope, work
from tests.support.engine_app import EngineApp
from tests.support.world import World


@pytest.mark.parametrize("name", [job.name for job in JOBS])
async def test_a_neighbour_that_hangs_keeps_no_job_from_its_end(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    job, jobs, other = job_named(name), scope(app), world.neighbour()
    assert job
    real, hanging = job.run, asyncio.Event()

    async def run_or_hang(work: JobWork) -> JobResult:
        if work.account_id == other.account:
            hanging.set()
            await asyncio.Event().wait()
        return await real(work)

    put_in_table(monkeypatch, replace(job, run=run_or_hang, needs=lambda _: None))
    slot = job.schedule.slot(NOON, ZoneInfo("UTC"))
    theirs = asyncio.create_task(run_slot(jobs, SlotId(name, other.account, slot)))
    await hanging.wait()

    row = await work(jobs, world.account, name, slot)

    assert row["state"] == "done", row["error"]
    assert not theirs.done()
    theirs.cancel()
    await asyncio.wait([theirs])
    other.close()
