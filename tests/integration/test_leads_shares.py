"""Shares of accounts in lead pipelines: places, slices, pauses, what is found, and what a crash leaves."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import run, sweep
from pipeline_engine.domain.leads.jobs import ACTING, ENTER, INTERNAL
from pipeline_engine.domain.leads.turns import Turns
from pipeline_engine.lanes import Snooze
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp, open_app
from tests.support.leads import (
    Job,
    action,
    enter,
    entered,
    entry,
    later,
    lead,
    lead_of,
    reply,
    rows,
    stage,
    statuses,
    work,
)
from tests.support.stopped_clock import stopped
from tests.support.world import World


async def kinds(app: EngineApp) -> dict[str, set[str]]:
    """{account: names of the jobs that a sweep finds}."""
    return {unit.account: {kind.name for kind, _ in unit.jobs} for unit in await sweep.find(app)}


@pytest.mark.covers("LP-07", "LP-X1")
async def test_a_sweep_finds_the_accounts_of_what_is_due_and_nothing_else(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=3600))
    id, _ = entered(world, here)
    assert await kinds(app) == {str(world.account): {ENTER.name}}
    await work(app, world)
    assert await kinds(app) == {}

    reply(world, id)
    assert await kinds(app) == {str(world.account): {INTERNAL.name}}
    await work(app, world)
    app.clock.set(app.clock.now() + timedelta(seconds=3590))
    assert await kinds(app) == {str(world.account): {INTERNAL.name}}  # due before the next sweep


@pytest.mark.covers("LP-07", "LP-X1")
async def test_the_questions_of_a_sweep_use_indexes(world: World, app: EngineApp) -> None:
    for status in ({"status": "active", "perform_at": {"$lte": datetime.now(UTC)}}, {"status": "entering"}):
        group = {"$group": {"_id": {"a": "$account_id", "l": "$current_lane"}, "first": {"$min": "$perform_at"}}}
        plan = world.db.command(
            "explain", {"aggregate": "lead_stages", "pipeline": [{"$match": status}, group], "cursor": {}}
        )
        assert "IXSCAN" in str(plan)
        assert "COLLSCAN" not in str(plan)


@pytest.mark.covers("LP-11", "LP-14")
async def test_leads_beyond_the_places_of_an_account_queue_in_order(world: World, configured: Settings) -> None:
    here = stage(world, action("wait", seconds=60))
    entries = []
    for n in range(5):
        at = datetime.now(UTC) - timedelta(minutes=10 - n)
        entries += enter(world, here, lead(world), entered_at=at)
    async with open_app(configured.model_copy(update={"leads_active_max": 2})) as app:
        await work(app, world)
        assert [entry(world, one)["status"] for one in entries] == ["active"] * 2 + ["entering"] * 3

        await later(app, world, seconds=61)
        assert [entry(world, one)["status"] for one in entries][:4] == ["completed"] * 2 + ["active"] * 2


async def test_a_lead_that_is_moved_keeps_its_place(world: World, configured: Settings) -> None:
    there = stage(world, action("wait", seconds=60))
    here = stage(world, action("wait", seconds=1), action("move", stage_id=there))
    first, _ = entered(world, here)
    second, waiting = entered(world, here)
    async with open_app(configured.model_copy(update={"leads_active_max": 1})) as app:
        await work(app, world)
        await later(app, world, seconds=2)

    assert world.db["lead_stages"].count_documents({"lead_id": first, "stage_id": there}) == 1
    assert lead_of(world, first)["stage_id"] == there
    assert (entry(world, waiting)["status"], second) == ("entering", entry(world, waiting)["lead_id"])


@pytest.mark.covers("LP-10")
async def test_a_slice_that_is_over_gives_others_their_turn(world: World, configured: Settings) -> None:
    here = stage(world, action("add_tag", tag="x"))
    enter(world, here, *(lead(world) for _ in range(6)))
    brief = {"leads_slice_seconds": 0.0001, "leads_batch": 2}
    async with open_app(configured.model_copy(update=brief)) as app:
        await app.heartbeat.beat()
        assert isinstance(await run.run_enter(app, Turns(), world.account), Snooze)
        assert world.db["lead_stages"].count_documents({"status": "active"}) == 2
        assert isinstance(await run.run_internal(app, Turns(), world.account), Snooze)
        assert world.db["lead_stages"].count_documents({"status": "completed"}) == 2


@pytest.mark.covers("LP-10", "LP-13")
async def test_the_jobs_of_accounts_do_not_wait_for_each_other(world: World, app: EngineApp) -> None:
    other = world.neighbour()
    for each, count in ((world, 30), (other, 1)):
        enter(each, stage(each, action("add_tag", tag="x")), *(lead(each) for _ in range(count)))

    found = await sweep.find(app)

    assert {unit.account for unit in found} == {str(world.account), str(other.account)}
    assert all(len(unit.jobs) == 1 for unit in found)  # one job for an account, however much it has
    other.close()


SCOPES = {
    "stage": ("pipeline_stages", "stage"),
    "pipeline": ("pipelines", "pipeline"),
    "account": ("_accounts", "account"),
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_pause_holds_what_it_is_for(world: World, app: EngineApp, scope: str) -> None:
    here = stage(world, action("wait", seconds=60), action("add_tag", tag="x"))
    elsewhere = stage(world, action("add_tag", tag="x"), pipeline_id=ObjectId())
    id, _ = entered(world, here)
    await work(app, world, rounds=1)
    collection, _ = SCOPES[scope]
    paused = {"stage": here, "pipeline": world.pipeline, "account": world.account}[scope]
    since = {"since": app.clock.now()}
    world.db[collection].update_one({"_id": paused}, {"$set": {"automation_paused": since}})

    free = lead(world)
    enter(world, elsewhere, free, pipeline_id=ObjectId())
    await later(app, world, seconds=90)

    assert lead_of(world, id)["tags"] == []
    assert lead_of(world, free)["tags"] == ([] if scope == "account" else ["x"])


@pytest.mark.parametrize(("waits", "rest"), [("extend", (25, 35)), ("keep", (-1, 61))])
async def test_a_pause_that_has_ended_extends_waits_or_is_caught_up(
    world: World, app: EngineApp, waits: str, rest: tuple[float, float]
) -> None:
    here = stage(world, action("wait", seconds=60), action("add_tag", tag="x"))
    _, entry_id = entered(world, here)
    await work(app, world, rounds=1)
    since = app.clock.now() + timedelta(seconds=30)
    until = since + timedelta(seconds=100)
    pause = {"since": since, "until": until, "waits": waits}
    world.db["pipeline_stages"].update_one({"_id": here}, {"$set": {"automation_paused": pause}})
    app.clock.set(until + timedelta(seconds=1))

    await app.heartbeat.beat()
    await run.run_internal(app, Turns(), world.account)

    left = (entry(world, entry_id)["perform_at"] - app.clock.now()).total_seconds()
    assert rest[0] <= left <= rest[1]
    stored = world.db["pipeline_stages"].find_one({"_id": here})
    assert stored
    assert "automation_paused" not in stored


async def test_what_a_pause_held_back_is_spread(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=1), action("add_tag", tag="x"))
    entries = enter(world, here, *(lead(world) for _ in range(40)))
    await work(app, world, rounds=1)
    now = app.clock.now()
    pause = {"since": now, "until": now + timedelta(seconds=60), "waits": "keep"}
    world.db["pipeline_stages"].update_one({"_id": here}, {"$set": {"automation_paused": pause}})
    app.clock.set(now + timedelta(seconds=61))

    await app.heartbeat.beat()
    with stopped(app.clock):  # or the first of them would be performed already
        await run.run_internal(app, Turns(), world.account)

    times = sorted(entry(world, one)["perform_at"] for one in entries)
    assert timedelta(seconds=40) < times[-1] - times[0] <= timedelta(seconds=60)


CRASHES: dict[str, Any] = {
    "before the rows": lambda world, one: world.db["lead_stage_actions"].update_many(
        {"lead_stage_id": one, "sequence_number": {"$gt": 1}}, {"$set": {"status": "waiting", "perform_at": None}}
    ),
    "after the rows": lambda _world, _one: None,
}


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.covers("LP-03", "LP-X2", "LP-X3")
async def test_rows_are_repaired_from_the_entry_after_a_crash(world: World, app: EngineApp, crash: str) -> None:
    here = stage(world, action("note", note="once"), action("wait", seconds=60), action("add_tag", tag="x"))
    id, entry_id = entered(world, here)
    await work(app, world)
    CRASHES[crash](world, entry_id)
    world.db["lead_stage_actions"].update_one(
        {"lead_stage_id": entry_id, "sequence_number": 1}, {"$set": {"status": "pending"}}
    )
    world.abandon("lead_stages", entry_id)

    assert {unit.account for unit in await sweep.find_abandoned(app)} == {str(world.account)}
    await later(app, world, seconds=61)

    assert statuses(world, entry_id) == ["done"] * 3
    assert world.db["notes"].count_documents({"lead_id": id}) == 1


async def test_the_rows_of_a_run_that_ended_in_a_crash_are_closed(world: World, app: EngineApp) -> None:
    here = stage(world, action("add_tag", tag="x"), action("move", outcome="won"), action("note", note="never"))
    _, entry_id = entered(world, here)
    await work(app, world)
    world.db["lead_stage_actions"].update_many({}, {"$set": {"status": "pending"}})
    world.abandon("lead_stages", entry_id)

    await work(app, world)

    assert (statuses(world, entry_id), entry(world, entry_id)["lease_owner"]) == (["done", "done", "cancelled"], None)


@pytest.mark.covers("LP-X2", "LP-X3")
async def test_several_jobs_of_one_account_do_nothing_twice(world: World, app: EngineApp) -> None:
    here = stage(world, action("note", note="once"), action("add_tag", tag="x"), action("note", note="twice"))
    leads = [lead(world) for _ in range(30)]
    entries = enter(world, here, *leads)
    await app.heartbeat.beat()

    for _ in range(3):
        jobs: list[Job] = [run.run_enter, run.run_enter, run.run_internal, run.run_internal, run.run_internal]
        await asyncio.gather(*(job(app, Turns(), world.account) for job in jobs))

    assert {tuple(statuses(world, one)) for one in entries} == {("done",) * 3}
    assert world.db["notes"].count_documents({}) == 60
    for one in entries:
        times = [row["performed_at"] for row in rows(world, one)]
        assert times == sorted(times)


async def test_an_action_that_is_repeated_after_a_crash_does_not_undo_what_a_person_did(
    world: World, app: EngineApp
) -> None:
    person = ObjectId()
    here = stage(world, action("owner", owner_id=world.user), action("wait", seconds=60))
    id, entry_id = entered(world, here)
    await work(app, world)
    world.db["leads"].update_one({"_id": id}, {"$set": {"owner": person}})
    back = {"current_sequence": 1, "current_type": "owner", "perform_at": datetime(2020, 1, 1, tzinfo=UTC)}
    world.db["lead_stages"].update_one({"_id": entry_id}, {"$set": back})
    world.abandon("lead_stages", entry_id)

    await work(app, world)

    assert (lead_of(world, id)["owner"], entry(world, entry_id)["current_sequence"]) == (person, 2)


@pytest.mark.covers("LP-12", "LP-14")
async def test_run_once_works_off_everything_that_is_due(world: World, configured: Settings) -> None:
    there = stage(world, action("add_tag", tag="there"), action("wait", seconds=3600))
    here = stage(world, action("note", note="x"), action("move", stage_id=there))
    leads = [lead(world) for _ in range(20)]
    enter(world, here, *leads)
    broken = stage(world, action("dance"))
    entered(world, broken)

    (result,) = (await run_once(configured, ["leads.actions"])).results

    assert all(lead_of(world, one)["tags"] == ["there"] for one in leads)
    assert (result.failed, result.busy) == (1, 0)
    assert result.units == result.succeeded + 1
    assert set(ACTING) == {"internal", "email", "sms"}


@pytest.mark.parametrize("status", ["entering", "active"])
@pytest.mark.covers("LP-15")
async def test_an_entry_with_which_processes_die_is_given_up_alone(world: World, app: EngineApp, status: str) -> None:
    here = stage(world, action("wait", seconds=1), action("add_tag", tag="x"))
    _, poison = entered(world, here)
    _, sound = entered(world, here)
    if status == "active":
        await work(app, world, rounds=1)
    world.abandon("lead_stages", poison, crashes=4)

    await later(app, world, seconds=2)
    await later(app, world, seconds=2)

    found = entry(world, poison)
    assert (found["status"], "5 times in a row" in found["reason"]) == ("failed", True)
    assert entry(world, sound)["status"] == "completed"
