"""Effect and mark in one guarded update: what a repeat, a human and the server may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.batch import work
from tests.support.automations import automation_of, deal_of, due, logs_of, run, tagged, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAG, OTHER = ObjectId(), ObjectId()
NEVER = float("inf")


async def batch(world: World, app: EngineApp, automation: ObjectId, *deals: Mapping[str, Any]) -> None:
    """Work off deals as they were selected, whatever happened to them since."""
    await work(app, read_automation(automation_of(world, automation)), "a run", deals, NEVER)


@pytest.mark.covers("DA-X5", "DA-X10")
async def test_a_repeat_does_not_undo_what_a_person_has_changed_since(world: World, app: EngineApp) -> None:
    world.db["users"].insert_one({"_id": OTHER, "account": world.account, "active": True})
    automation = world.automation("owner", owner_id=OTHER)
    deal = world.deal()
    selected = deal_of(world, deal)
    await batch(world, app, automation, selected)
    assert deal_of(world, deal)["owner"] == OTHER

    world.db["deals"].update_one({"_id": deal}, {"$set": {"owner": world.user}})
    await batch(world, app, automation, selected)
    await run(app, automation)

    assert deal_of(world, deal)["owner"] == world.user


@pytest.mark.parametrize("type", ["add_tag", "stage", "note"])
@pytest.mark.parametrize(
    "change",
    [
        {"stage_id": ObjectId()},
        {"account_id": ObjectId()},
        {"skip": True},
        None,
    ],
    ids=["moved", "another account's now", "to be skipped", "deleted"],
)
@pytest.mark.covers("DA-X10")
async def test_what_changed_after_it_was_selected_is_left_alone_and_not_logged(
    world: World, app: EngineApp, type: str, change: dict[str, Any] | None
) -> None:
    automation = world.automation(type, tag=TAG, target_stage_id=OTHER, note="x")
    stays, leaves = world.deal(), world.deal()
    selected = [deal_of(world, deal) for deal in (stays, leaves)]
    if change is None:
        world.db["deals"].delete_one({"_id": leaves})
    else:
        values = {"skip_automations": [automation]} if "skip" in change else change
        world.db["deals"].update_one({"_id": leaves}, {"$set": values})

    await batch(world, app, automation, *selected)

    (log,) = logs_of(world, automation)
    assert log["deals"] == [stays] == [entry["deal"] for entry in log["success"]]
    left = world.db["deals"].find_one({"_id": leaves})
    assert left is None or (left["automation_triggered"], left["tags"]) == ([], [])
    assert world.db["notes"].count_documents({"deal_id": leaves}) == 0


@pytest.mark.parametrize("deals", [1, 5])
@pytest.mark.covers("DA-16")
async def test_a_deal_that_the_server_refuses_fails_alone(world: World, app: EngineApp, deals: int) -> None:
    automation = world.automation("add_tag", tag=TAG)
    good = {world.deal() for _ in range(deals - 1)}
    full = world.deal(name="full")
    rule = {"$nor": [{"name": "full", "tags": TAG}]}
    world.db.command("collMod", "deals", validator=rule)

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert {entry["deal"] for entry in log["success"]} == good == tagged(world, TAG)
    assert [entry["deal"] for entry in log["failed"]] == [full]
    assert "failed validation" in log["failed"][0]["message"]
    assert await due(app) == set()


@pytest.mark.parametrize("type", ["add_tag", "note"])
@pytest.mark.covers("DA-X6")
async def test_a_deal_that_cannot_even_be_marked_is_set_aside(world: World, app: EngineApp, type: str) -> None:
    automation = world.automation(type, tag=TAG, note="x")
    world.deal(name="frozen")
    good = world.deal()
    world.db.command("collMod", "deals", validator={"name": {"$ne": "frozen"}})

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert [entry["deal"] for entry in log["success"]] == [good]
    (unit,) = world.db["automation_units"].find({"state": "pending"})
    assert "cannot be marked" in unit["last_error"]
    assert await due(app) == set()
    assert world.db["notes"].count_documents({}) <= 2


@pytest.mark.covers("DA-16")
async def test_a_note_that_the_server_refuses_fails_alone(world: World, app: EngineApp) -> None:
    automation = world.automation("note", note="x")
    bad, good = world.deal(), world.deal()
    world.demand("notes", {"deal_id": {"$ne": bad}})

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert [entry["deal"] for entry in log["success"]] == [good]
    assert [entry["deal"] for entry in log["failed"]] == [bad]


async def test_a_note_id_that_a_stranger_has_is_no_success(world: World, app: EngineApp) -> None:
    automation = world.automation("note", note="x")
    deal = world.deal()
    await work_off(app)
    note = world.db["notes"].find_one()
    assert note
    # A foreign document under the very id that a repeat makes again.
    world.db["notes"].replace_one(
        {"_id": note["_id"]}, {"_id": note["_id"], "account_id": ObjectId(), "text": "theirs"}
    )
    world.db["deals"].update_one({"_id": deal}, {"$set": {"automation_triggered": []}})
    world.db["automations"].update_one({"_id": automation}, {"$unset": {"watermark": ""}})

    await work_off(app)

    assert deal_of(world, deal)["automation_failed"] == [automation]
    assert logs_of(world, automation)[-1]["failed"][0]["message"] == "its id is taken"


@pytest.mark.covers("DA-05", "DA-23")
async def test_moving_a_deal_starts_its_time_anew(world: World, app: EngineApp) -> None:
    automation = world.automation("stage", target_stage_id=OTHER)
    deal = world.deal()
    entered = deal_of(world, deal)["automation_starts"]

    await work_off(app)

    moved = deal_of(world, deal)
    assert moved["stage_id"] == OTHER
    assert moved["automation_starts"] > entered
    (event,) = world.db["crm_events"].find({"type": "deal.stage_changed"})
    assert (event["account_id"], event["data"]["deals"]) == (world.account, [deal])
    assert (event["data"]["from"], event["data"]["to"]) == (world.stage, OTHER)
    assert event["data"]["automation"] == automation
