"""Logs: one document per batch, and none lost or made up by a crash."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.marks import unit_key
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.automations import automation_of, deal_of, logs_of, run, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAG, OTHER = ObjectId(), ObjectId()


def many(world: World, deals: int) -> None:
    template = deal_of(world, world.deal())
    world.db["deals"].insert_many([{**template, "_id": ObjectId()} for _ in range(deals - 1)])


@pytest.mark.covers("DA-12", "DA-18", "DA-X12")
async def test_many_deals_make_several_logs_of_one_run(world: World, configured: Settings) -> None:
    automation = world.automation("add_tag", tag=TAG)
    many(world, 450)

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert (result.units, result.succeeded) == (1, 1)
    logs = logs_of(world, automation)
    assert sorted(len(log["success"]) for log in logs) == [50, 200, 200]
    assert len({log["run_id"] for log in logs}) == 1
    every = [entry["deal"] for log in logs for entry in log["success"]]
    assert len(set(every)) == 450 == world.db["deals"].count_documents({"automation_triggered": automation})


@pytest.mark.covers("DA-X12")
async def test_a_run_that_takes_long_gives_its_place_to_others_and_goes_on(world: World, configured: Settings) -> None:
    automation = world.automation("add_tag", tag=TAG)
    many(world, 110)

    hurried = {"automation_slice_seconds": 0.001, "automation_batch": 10}
    (result,) = (await run_once(configured.model_copy(update=hurried), ["deals.automations"])).results

    assert result.jobs >= 3
    assert len({log["run_id"] for log in logs_of(world, automation)}) == 1
    assert world.db["deals"].count_documents({"automation_triggered": automation}) == 110
    assert automation_of(world, automation)["last_run"]["succeeded"] == 110


@pytest.mark.covers("DA-18", "DA-28")
async def test_a_log_says_what_the_seed_says_and_ends_after_its_time(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    deal = world.deal()

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert (log["deals"], log["success"], log["failed"]) == ([deal], [{"deal": deal, "tag_id": TAG}], [])
    assert (log["user"], log["account"], log["account_id"]) == (world.user, world.account, world.account)
    assert (log["stage_id"], log["type"], log["state"]) == (world.stage, "add_tag", "closed")
    assert log["expires_at"] - log["createdAt"] == timedelta(days=90)
    assert not {"units", "entries"} & log.keys()
    ttl = world.db["automation_logs"].index_information()["expires_at_1"]
    assert (ttl["expireAfterSeconds"], ttl["partialFilterExpression"]) == (0, {"expires_at": {"$exists": True}})


async def open_log(world: World, app: EngineApp, automation: ObjectId, *deals: ObjectId) -> ObjectId:
    """As a run leaves it that ended in the middle."""
    read, found = read_automation(automation_of(world, automation)), [deal_of(world, deal) for deal in deals]
    log = await app.repos.automation_logs.open_log(
        world.account,
        list(deals),
        user=world.user,
        automation=automation,
        stage_id=world.stage,
        type=read.type,
        run_id="ended in the middle",
        target_stage_id=OTHER,
        units=[unit_key(read, deal) for deal in found],
        entries=[deal["automation_starts"] for deal in found],
    )
    return ObjectId(log["_id"])


@pytest.mark.covers("DA-X5", "DA-18")
async def test_a_log_left_open_is_closed_from_what_the_deals_say(world: World, app: EngineApp) -> None:
    automation = world.automation("stage", target_stage_id=OTHER)
    done, failed, untouched = world.deal(), world.deal(), world.deal(skip_automations=[automation])
    left = await open_log(world, app, automation, done, failed, untouched)
    nothing = await open_log(world, app, automation, untouched)
    moved = {"stage_id": OTHER, "automation_triggered": [automation]}
    world.db["deals"].update_one({"_id": done}, {"$set": moved})
    world.db["deals"].update_one({"_id": failed}, {"$set": {"automation_failed": [automation]}})

    await run(app, automation)

    (log,) = logs_of(world, automation)
    assert (log["_id"], log["state"], log["deals"]) == (left, "closed", [done, failed])
    assert [entry["deal"] for entry in log["success"]] == [done]
    assert [entry["deal"] for entry in log["failed"]] == [failed]
    (event,) = world.db["crm_events"].find()
    assert (event["_id"], event["data"]["deals"]) == (f"deal.stage_changed:{left}", [done])
    assert world.db["automation_logs"].find_one({"_id": nothing}) is None


@pytest.mark.parametrize("gone", [False, True], ids=["still there", "moved meanwhile"])
@pytest.mark.covers("DA-X5")
async def test_a_note_whose_mark_was_lost_gets_it_wherever_the_deal_is(
    world: World, app: EngineApp, gone: bool
) -> None:
    automation = world.automation("note", note="x")
    deal = world.deal()
    await work_off(app)
    (written,) = world.db["notes"].find()
    changes: dict[str, Any] = {"automation_triggered": [], **({"stage_id": OTHER} if gone else {})}
    world.db["deals"].update_one({"_id": deal}, {"$set": changes})
    world.db["automation_logs"].delete_many({})
    left = await open_log(world, app, automation, deal)

    await run(app, automation)

    assert deal_of(world, deal)["automation_triggered"] == [automation]
    (log,) = logs_of(world, automation)
    assert (log["_id"], log["success"]) == (left, [{"deal": deal}])
    assert list(world.db["notes"].find()) == [written]


async def test_logs_are_closed_also_when_the_automation_was_switched_off(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    deal = world.deal(automation_triggered=[ObjectId()])
    left = await open_log(world, app, automation, deal)
    world.db["deals"].update_one({"_id": deal}, {"$push": {"automation_triggered": automation}})
    begun = {"run": {"id": "ended in the middle", "told": True}, "status": "INACTIVE"}
    world.db["automations"].update_one({"_id": automation}, {"$set": begun})

    assert await work_off(app) == {automation}

    (log,) = logs_of(world, automation)
    assert (log["_id"], log["state"]) == (left, "closed")
    ended = automation_of(world, automation)
    assert (ended["run"], ended["is_running"], ended["last_run"]["succeeded"]) == (None, False, 1)
    assert await work_off(app) == set()
