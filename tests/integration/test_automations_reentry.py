"""Once per deal, or once per entry; and deals that go round and round."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.batch import work
from tests.support.automations import ago, automation_of, deal_of, due, logs_of, run, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

NEXT = ObjectId()


def enter_again(world: World, deal: ObjectId) -> None:
    changes = {"stage_id": world.stage, "automation_starts": ago(seconds=1)}
    world.db["deals"].update_one({"_id": deal}, {"$set": changes})


@pytest.mark.parametrize(("reentry", "notes"), [("once", 1), ("per_entry", 2)])
@pytest.mark.covers("DA-X8")
async def test_a_deal_that_enters_again(world: World, app: EngineApp, reentry: str, notes: int) -> None:
    automation = world.automation("note", note="x", reentry=reentry)
    deal = world.deal()
    await work_off(app)
    assert await due(app) == set()

    enter_again(world, deal)
    await work_off(app)

    assert world.db["notes"].count_documents({"deal_id": deal}) == notes
    assert [len(log["success"]) for log in logs_of(world, automation)] == [1] * notes
    assert deal_of(world, deal)["automation_triggered"] == [automation]
    assert await due(app) == set()


@pytest.mark.covers("DA-X8")
async def test_a_failure_of_an_earlier_entry_is_not_logged_again(world: World, app: EngineApp) -> None:
    automation = world.automation("note", reentry="per_entry")
    deal = world.deal()
    await work_off(app)
    world.db["automations"].update_one({"_id": automation}, {"$set": {"note": "x"}})
    enter_again(world, deal)

    await work_off(app)

    assert [(len(log["success"]), len(log["failed"])) for log in logs_of(world, automation)] == [(0, 1), (1, 0)]
    changed = deal_of(world, deal)
    assert (changed["automation_triggered"], changed["automation_failed"]) == ([automation], [])


@pytest.mark.parametrize("reentry", ["once", "per_entry"])
@pytest.mark.covers("DA-X7", "DA-X8")
async def test_repeats_count_on_when_the_automation_changes_its_ways(
    world: World, app: EngineApp, reentry: str
) -> None:
    automation = world.automation("note", note="x", reentry=reentry)
    deal = world.deal()
    await work_off(app)
    for way in ("per_entry", "once", "per_entry", "once"):
        world.db["automations"].update_one({"_id": automation}, {"$set": {"reentry": way}})
        world.db["deals"].update_one({"_id": deal}, {"$set": {"retry_automations": [automation]}})
        await work_off(app)
        assert deal_of(world, deal)["retry_automations"] == []

    assert world.db["notes"].count_documents({"deal_id": deal}) == 5
    assert deal_of(world, deal)["automation_generation"][str(automation)] == 4


@pytest.mark.covers("DA-X8", "DA-18")
async def test_a_mark_of_an_earlier_entry_does_not_count_for_this_one(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=NEXT, reentry="per_entry")
    deal = world.deal()
    await work_off(app)
    enter_again(world, deal)
    selected = deal_of(world, deal)
    world.db["deals"].update_one({"_id": deal}, {"$set": {"stage_id": NEXT}})

    worked = await work(app, read_automation(automation_of(world, automation)), "a run", [selected], math.inf)

    assert (worked.done, worked.failed) == (0, 0)
    assert len(logs_of(world, automation)) == 1


@pytest.mark.parametrize(("reentry", "moves"), [("once", 2), ("per_entry", 20)])
@pytest.mark.covers("DA-X8")
async def test_a_circle_of_stages_ends(world: World, app: EngineApp, reentry: str, moves: int) -> None:
    there = world.automation("stage", target_stage_id=NEXT, reentry=reentry)
    back = world.automation("stage", stage_id=NEXT, target_stage_id=world.stage, reentry=reentry)
    deal = world.deal()

    for _ in range(12):
        await run(app, there)
        await run(app, back)

    logs = [*logs_of(world, there), *logs_of(world, back)]
    assert sum(len(log["success"]) for log in logs) == moves
    stopped = [entry["message"] for log in logs for entry in log["failed"]]
    assert len(stopped) == (reentry == "per_entry")
    assert all("moved it 20 times within an hour" in message for message in stopped)
    assert len(deal_of(world, deal)["automation_moves"]) == moves
    assert await due(app) == set()


@pytest.mark.covers("DA-X8")
async def test_slow_circles_go_on(world: World, app: EngineApp) -> None:
    automation = world.automation("stage", target_stage_id=NEXT, reentry="per_entry")
    hourly = [ago(hours=2) + timedelta(minutes=minute) for minute in range(20)]
    deal = world.deal(automation_moves=hourly)

    await run(app, automation)

    assert deal_of(world, deal)["stage_id"] == NEXT
    assert len(deal_of(world, deal)["automation_moves"]) == 20
    assert automation_of(world, automation)["last_run"]["succeeded"] == 1
