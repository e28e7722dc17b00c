"""Which deals an automation fires for, on MongoDB."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.automations import sweep
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.automations import ago, automation_of, deal_of, due, logs_of, run, tagged, work_off
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAG = ObjectId()


@pytest.mark.covers("DA-07", "DA-10", "DA-30")
async def test_the_window_is_closed_at_both_ends(world: World, app: EngineApp) -> None:
    created = ago(hours=2)
    world.automation("add_tag", tag=TAG, createdAt=created, delay=3600)
    first = world.deal(automation_starts=created)
    too_old = world.deal(automation_starts=created - timedelta(milliseconds=1))
    soon = world.deal(automation_starts=ago(seconds=3590))

    await work_off(app)
    assert tagged(world, TAG) == {first}
    app.clock.set(app.clock.now() + timedelta(seconds=15))
    await work_off(app)

    assert tagged(world, TAG) == {first, soon}
    assert deal_of(world, too_old)["tags"] == []


@pytest.mark.covers("DA-07")
async def test_nothing_fires_before_the_automation_is_as_old_as_its_delay(world: World, app: EngineApp) -> None:
    world.automation("add_tag", tag=TAG, createdAt=ago(seconds=60), delay=300)
    world.deal(automation_starts=ago(seconds=59))

    assert await due(app) == set()


@pytest.mark.covers("DA-X11")
async def test_switched_on_again_it_leaves_alone_what_entered_meanwhile(world: World, app: EngineApp) -> None:
    world.automation("add_tag", tag=TAG, active_from=ago(minutes=5))
    world.deal(automation_starts=ago(minutes=6))
    after = world.deal(automation_starts=ago(minutes=4))

    await work_off(app)

    assert tagged(world, TAG) == {after}


@pytest.mark.covers("DA-11", "DA-21", "DA-22")
async def test_references_may_be_stored_as_strings(world: World, app: EngineApp) -> None:
    ids = {name: str(getattr(world, name)) for name in ("account", "stage")}
    one = world.automation("add_tag", tag=TAG, account_id=ids["account"], stage_id=ids["stage"])
    deals = {world.deal(account_id=ids["account"]), world.deal(stage_id=ids["stage"]), world.deal()}
    for name in ("skip_automations", "automation_triggered", "automation_failed"):
        world.deal(**{name: [str(one)]})
    again = world.deal(automation_triggered=[str(one)], retry_automations=[str(one)])

    await work_off(app)

    assert tagged(world, TAG) == deals | {again}
    assert deal_of(world, again)["retry_automations"] == []
    (log,) = logs_of(world, one)
    assert {entry["deal"] for entry in log["success"]} == deals | {again}


@pytest.mark.parametrize("nothing", [None, "missing"])
@pytest.mark.covers("DA-22")
async def test_lists_may_be_null_or_missing(world: World, app: EngineApp, nothing: str | None) -> None:
    lists = ("automation_triggered", "skip_automations", "retry_automations", "tags")
    automation = world.automation("add_tag", tag=TAG)
    deal = world.deal(**dict.fromkeys(lists))
    if nothing == "missing":
        world.db["deals"].update_one({"_id": deal}, {"$unset": dict.fromkeys(lists, "")})

    await work_off(app)

    changed = deal_of(world, deal)
    assert (changed["tags"], changed["automation_triggered"]) == ([TAG], [automation])


@pytest.mark.parametrize(
    "changes",
    [{"status": "INACTIVE"}, {"module": "CONTACT"}, {"type": "fax"}, {"account_id": ObjectId()}],
    ids=["inactive", "other module", "unknown type", "missing account"],
)
@pytest.mark.covers("DA-06", "DA-08")
async def test_what_is_switched_off_or_not_ours_is_not_found(
    world: World, app: EngineApp, changes: dict[str, Any]
) -> None:
    account = changes.get("account_id", world.account)
    world.automation(**{"type": "add_tag", "tag": TAG, **changes})
    world.deal(account_id=account)

    assert await due(app) == set()
    assert tagged(world, TAG) == set()


@pytest.mark.parametrize("active", [False, None])
@pytest.mark.covers("DA-08")
async def test_nothing_fires_for_an_account_that_is_not_active(
    world: World, app: EngineApp, active: bool | None
) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": active}})
    automation = world.automation("add_tag", tag=TAG)
    world.deal()

    assert await due(app) == set()
    await run(app, automation)  # a job that was dispatched before the account was switched off
    assert tagged(world, TAG) == set()
    assert automation_of(world, automation)["run"] is None


@pytest.mark.covers("DA-X10")
async def test_a_deal_of_another_account_is_left_alone(world: World, app: EngineApp) -> None:
    other = world.neighbour()
    mine, theirs = world.automation("add_tag", tag=TAG), other.automation("note", note="x", stage_id=world.stage)
    deals = world.deal(), world.deal(account_id=other.account)

    await work_off(app)

    assert [deal_of(world, deal)["automation_triggered"] for deal in deals] == [[mine], [theirs]]
    assert [note["account_id"] for note in world.db["notes"].find()] == [other.account]
    other.close()


@pytest.mark.covers("DA-13")
async def test_without_deals_nothing_is_claimed_or_dispatched(world: World, configured: Settings) -> None:
    automation = world.automation("add_tag", tag=TAG)
    world.deal(stage_id=ObjectId())

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert (result.units, result.jobs) == (0, 0)
    assert "token" not in automation_of(world, automation)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"delay": "soon"}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"delay": 1e300}, "delay"),
        ({"createdAt": "yesterday"}, "createdAt"),
        ({"stage_id": None}, "stage_id"),
    ],
    ids=["text", "nan", "endless", "created", "stage"],
)
@pytest.mark.covers("DA-04")
async def test_a_malformed_automation_says_so_and_hurts_no_other(
    world: World, configured: Settings, broken: dict[str, Any], reason: str
) -> None:
    bad = world.automation("add_tag", tag=TAG, **broken)
    world.automation("add_tag", tag=TAG, account_id={"not": "an id"})
    world.automation("add_tag", tag=TAG)
    deal = world.deal()

    (result,) = (await run_once(configured, ["deals.automations"])).results

    assert tagged(world, TAG) == {deal}
    assert (result.units, result.succeeded, result.failed) == (2, 1, 1)
    assert reason in automation_of(world, bad)["paused_reason"]


@pytest.mark.parametrize(
    ("type", "field", "collection"),
    [
        ("add_tag", "tag", "tags"),
        ("remove_tag", "tags", "tags"),
        ("owner", "owner_id", "users"),
        ("follower", "follower_id", "users"),
        ("stage", "target_stage_id", "pipeline_stages"),
    ],
)
@pytest.mark.covers("DA-16", "DA-18")
async def test_what_belongs_to_another_account_is_refused_deal_by_deal(
    world: World, app: EngineApp, type: str, field: str, collection: str
) -> None:
    foreign = ObjectId()
    world.db[collection].insert_one({"_id": foreign, "account_id": ObjectId()})
    automation = world.automation(type, **{field: [foreign] if field == "tags" else foreign})
    deals = {world.deal(tags=[foreign]) for _ in range(2)}

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert {entry["deal"] for entry in log["failed"]} == deals
    assert {entry["message"] for entry in log["failed"]} == {f"{collection} of another account: {foreign}"}
    for deal in [deal_of(world, deal) for deal in deals]:
        assert (deal["stage_id"], deal["owner"], deal["tags"]) == (world.stage, world.user, [foreign])
        assert (deal["automation_failed"], deal["automation_triggered"]) == ([automation], [])
    assert await due(app) == set()


@pytest.mark.parametrize("type", ["add_tag", "owner", "follower", "stage", "note", "reminder"])
@pytest.mark.covers("DA-21")
async def test_an_automation_without_its_fields_fails_its_deals_and_says_why(
    world: World, app: EngineApp, type: str
) -> None:
    automation = world.automation(type)
    deal = world.deal()

    await work_off(app)

    (log,) = logs_of(world, automation)
    assert log["failed"][0]["deal"] == deal
    assert "the automation has no" in log["failed"][0]["message"] or "neither" in log["failed"][0]["message"]
    assert log["state"] == "closed"


async def test_a_look_near_a_stage_finds_its_automations_and_no_others(app: EngineApp, world: World) -> None:
    here = world.automation("add_tag", tag=ObjectId())
    idle_stage, elsewhere = ObjectId(), ObjectId()
    world.automation("add_tag", tag=ObjectId(), stage_id=elsewhere)
    world.automation("add_tag", tag=ObjectId(), stage_id=idle_stage)
    world.deal()
    world.deal(stage_id=elsewhere)

    for stages in ([world.stage], [str(world.stage)], [world.stage, idle_stage, "no id"]):
        assert [unit.id for unit in await sweep.find_due_in(app, stages)] == [str(here)]
    assert await sweep.find_due_in(app, [idle_stage]) == []
