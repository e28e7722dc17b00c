"""The umbrella over meeting prep, stale deals and daily insight; and what they have in common."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline_engine.domain.jobs import daily_insight, meeting_prep, proactive_ai, stale_deals
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp
from tests.support.job_slices import all_of, member, run_job
from tests.support.world import World

PARTS = ["crm.meeting_prep", "crm.stale_deals", "crm.daily_insight"]
DAY = timedelta(days=1)


def busy(world: World) -> None:
    """An account with work for each part."""
    now = datetime.now(UTC)
    member(world, "admin")
    world.deal(status="open", createdAt=now - 8 * DAY)
    starts = {"starts_at": now + timedelta(minutes=20), "ends_at": now + timedelta(minutes=50)}
    world.db["calendar_events"].insert_one({"account_id": world.account, "owner": world.user, **starts})


def made(world: World) -> list[int]:
    return [len(all_of(world, name)) for name in ("meetings", "tasks", "agent_insights")]


@pytest.mark.covers("CL-25")
async def test_an_operator_runs_all_parts_at_once(world: World, app: EngineApp, configured: Settings) -> None:
    busy(world)
    (result,) = (await run_once(configured, ["crm.proactive_ai"])).results
    assert (result.units, result.succeeded, result.failed) == (1, 1, 0)
    assert made(world) == [1, 1, 1]


async def test_it_goes_on_where_a_slice_ended(world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_deals, "PAGE", 1)
    busy(world)
    for _ in range(5):
        world.deal(status="open", createdAt=datetime.now(UTC) - 8 * DAY)
    result = await run_job(app, world, proactive_ai.JOB, "once:x", steps=True)
    assert result.done == 1 + 6 + 1
    assert made(world) == [1, 6, 1]


@pytest.mark.covers("CL-25", "CL-31")
@pytest.mark.parametrize(("off", "left"), [("proactive_ai", []), ("stale_deals, daily_insight", PARTS[:1])])
async def test_its_switch_is_the_switch_of_its_parts(
    world: World, configured: Settings, off: str, left: list[str]
) -> None:
    busy(world)
    switched = configured.model_copy(update={"crm_jobs_off": off})
    results = (await run_once(switched, PARTS)).results
    assert [one.name for one in results if one.units] == left
    assert [bool(count) for count in made(world)] == [bool(left), False, False]


@pytest.mark.covers("CL-25")
async def test_its_own_slot_tells_how_its_parts_are(world: World, app: EngineApp) -> None:
    rows = zip(PARTS, ("done", "failed", "done"), strict=True)
    for job, state in rows:
        own: dict[str, Any] = {"job": job, "account_id": world.account, "slot": "2026-03-02", "state": state}
        world.db["cron_slots"].insert_one(
            {"_id": f"{job}:{world.account}:2026-03-02", "started_at": datetime.now(UTC), **own}
        )
    result = await run_job(app, world, proactive_ai.JOB)
    assert (result.done, result.failed) == (2, 1)
    assert made(world) == [0, 0, 0]


async def test_reservations_at_the_same_time_never_exceed_the_budget(world: World, app: EngineApp) -> None:
    usage = app.with_repos(JobRepos.open).repos.llm_usage
    keys = await asyncio.gather(*(usage.reserve(world.account, "2026-03-02", 100, 550) for _ in range(20)))
    reserved = [key for key in keys if key]
    assert len(reserved) == 5
    await usage.settle(world.account, "2026-03-02", reserved[0], 30)
    assert await usage.reserve(world.account, "2026-03-02", 100, 550)
    assert await usage.reserve(world.account, "2026-03-02", 100, 550) is None
    assert await usage.reserve(world.account, "2026-03-03", 100, 550)
    world.db["llm_usage"].update_many({}, {"$set": {"calls": ["odd"]}})
    assert await usage.reserve(world.account, "2026-03-02", 100, 550)


@pytest.mark.parametrize("job", [meeting_prep.JOB, stale_deals.JOB, daily_insight.JOB], ids=lambda job: job.name)
async def test_no_question_reads_a_whole_collection(world: World, app: EngineApp, job: Any) -> None:
    """With many neighbours, every question about one account goes by an index."""
    busy(world)
    id = world.db["contacts"].insert_one({"account_id": world.account, "email": "a@x.example", "company": "A"})
    world.db["deals"].update_many({}, {"$set": {"contact_id": id.inserted_id}})
    world.db["calendar_events"].update_many({}, {"$set": {"attendees": ["a@x.example"]}})
    world.db.command("profile", 2)
    try:
        await run_job(app, world, job)
    finally:
        world.db.command("profile", 0)
    seen = list(world.db["system.profile"].find({"planSummary": {"$regex": "COLLSCAN"}}))
    small = ("business_profiles", "team_members", "_accounts")
    scans = {one["ns"].split(".", 1)[1] for one in seen} - {"system.profile", *small}
    world.db["system.profile"].drop()
    assert scans == set()
