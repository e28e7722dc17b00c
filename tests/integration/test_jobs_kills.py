"""Jobs that write for people, ended at each call that changes something: the next run comes to the same end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline_engine import failpoints
from tests.support.crm_jobs import NOON, SLOT, JobApp, scope, work
from tests.support.drills.points import READS
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.job_slices import activity, all_of, member
from tests.support.meetings import event, john
from tests.support.world import World

DAY = timedelta(days=1)
SLOTS = {"crm.meeting_prep": f"{SLOT}T12:00Z", "crm.stale_deals": SLOT, "crm.daily_insight": SLOT}
JOBS = pytest.mark.parametrize("job", SLOTS)


async def meetings(world: World, _jobs: JobApp) -> None:
    john(world, NOON)
    event(world, 30, "john@acme.example", now=NOON)
    event(world, 40, now=NOON, title="Alone")


async def deals(world: World, jobs: JobApp) -> None:
    """Deals of every kind, some with an alert of the day before."""
    member(world, "admin")
    for name, age in {"fresh": 3, "stale": 10, "critical": 40, "alive": 12, "at risk, alive": 45, "late": 29.9}.items():
        world.deal(name=name, status="open", createdAt=NOON - DAY - age * DAY)
    jobs.clock.set(NOON - DAY)
    await work(jobs, world.account, "crm.stale_deals", "2026-05-03")
    for name, age in {"new": 9, "new, critical": 50}.items():
        world.deal(name=name, status="open", createdAt=NOON - age * DAY)
    for one in all_of(world, "deals", name={"$in": ["alive", "at risk, alive"]}):
        activity(world, "call", NOON - DAY / 2, deal_id=one["_id"])
    world.db["deals"].update_one({"account_id": world.account, "name": "stale"}, {"$set": {"status": "won"}})


async def figures(world: World, _jobs: JobApp) -> None:
    member(world, "admin")
    made = [{"account_id": world.account, "createdAt": NOON - timedelta(hours=10)} for _ in range(20)]
    world.db["contacts"].insert_many(made)


PREPARE: dict[str, Callable[[World, JobApp], Awaitable[None]]] = {
    "crm.meeting_prep": meetings,
    "crm.stale_deals": deals,
    "crm.daily_insight": figures,
}


def shown(world: World) -> list[Any]:
    """All that people see, without ids and times."""
    fields = {
        "ai_notifications": ("kind", "title", "body", "status", "closed_reason", "at_risk", "escalation_due"),
        "tasks": ("title", "description", "status"),
        "deals": ("name", "tags"),
        "meetings": ("title",),
        "agent_insights": ("day", "metrics", "trending_up", "needs_attention", "recommendations"),
    }
    rows = [str([one.get(field) for field in names]) for name, names in fields.items() for one in all_of(world, name)]
    briefs = [str({**one["brief"], "sources": len(one["brief"]["sources"])}) for one in all_of(world, "meetings")]
    return sorted([*rows, *briefs])


async def prepared(world: World, jobs: JobApp, job: str) -> World:
    """Another account, with work for the job, at noon."""
    other = world.neighbour()
    await PREPARE[job](other, jobs)
    jobs.clock.set(NOON)
    return other


async def slot(jobs: JobApp, world: World, job: str) -> None:
    row = await work(jobs, world.account, job, SLOTS[job])
    assert row["state"] == "done"
    assert row["counts"]["done"] > 0


def changes(log: Path) -> list[tuple[str, int, str]]:
    """Before and after every call that changes something in MongoDB."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [
        (name, int(nth), when) for name, nth, when in lines if name.startswith("mongo.") and not name.endswith(READS)
    ]


@pytest.fixture
def jobs(app: EngineApp) -> JobApp:
    return scope(app)


@pytest.mark.slow
@JOBS
@pytest.mark.covers("R-11", "CL-X9", "CL-X10")
async def test_a_kill_at_any_change_leads_to_the_same_end(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, job: str
) -> None:
    whole = await prepared(world, jobs, job)
    failpoints.arm(None, str(tmp_path / "log"))
    await slot(jobs, whole, job)
    failpoints.disarm()
    points = changes(tmp_path / "log")
    assert len({name for name, _, _ in points}) > 3

    for point, nth, when in points:
        other = await prepared(world, jobs, job)
        id = f"{job}:{other.account}:{SLOTS[job]}"
        assert await die_at(monkeypatch, point, nth, when, lambda other=other: slot(jobs, other, job))  # type: ignore[misc]
        row = world.db["cron_slots"].find_one({"_id": id}) or {}
        if row.get("lease_owner"):
            other.abandon("cron_slots", id)
        if row.get("state") != "done":
            await work(jobs, other.account, job, SLOTS[job])
        assert shown(other) == shown(whole), (point, nth, when)
        other.close()
    whole.close()


@JOBS
async def test_a_slot_that_two_daemons_begin_is_done_once(world: World, jobs: JobApp, job: str) -> None:
    once, twice = await prepared(world, jobs, job), await prepared(world, jobs, job)
    await slot(jobs, once, job)
    await asyncio.gather(*(work(jobs, twice.account, job, SLOTS[job]) for _ in range(3)))
    await slot(jobs, twice, job)
    assert shown(twice) == shown(once) != []
    once.close()
    twice.close()
