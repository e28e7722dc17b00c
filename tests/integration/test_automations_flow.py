"""Automations from the deal that entered a stage to the effect, through Redis, in one process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.run_once import Result, run_once
from pipeline_engine.settings import Settings
from tests.support.world import World

NAMES = ["deals.automations"]
Check = Callable[[dict[str, Any]], bool]


async def sweep(configured: Settings) -> Result:
    (result,) = (await run_once(configured, NAMES)).results
    return result


TAG, OTHER, PERSON = ObjectId(), ObjectId(), ObjectId()


@pytest.mark.parametrize(
    ("type", "config", "deal", "check"),
    [
        ("add_tag", {"tag": TAG}, {"tags": None}, lambda deal: deal["tags"] == [TAG]),
        ("add_tag", {"tags": [TAG, OTHER]}, {"tags": [TAG]}, lambda deal: deal["tags"] == [TAG, OTHER]),
        ("remove_tag", {"tag": TAG}, {"tags": [OTHER, TAG]}, lambda deal: deal["tags"] == [OTHER]),
        ("add_tag", {"tag": str(TAG)}, {"tags": [TAG]}, lambda deal: deal["tags"] == [TAG]),
        ("add_tag", {"tags": [TAG, OTHER]}, {"tags": [str(TAG)]}, lambda deal: deal["tags"] == [str(TAG), OTHER]),
        ("add_tag", {"tag": str(TAG)}, {"tags": None}, lambda deal: deal["tags"] == [TAG]),
        ("remove_tag", {"tag": TAG}, {"tags": [str(TAG), TAG, OTHER]}, lambda deal: deal["tags"] == [OTHER]),
        ("remove_tag", {"tag": str(TAG)}, {"tags": [TAG]}, lambda deal: deal["tags"] == []),
        ("follower", {"follower_id": PERSON}, {"followers": [str(PERSON)]}, lambda deal: len(deal["followers"]) == 1),
        ("owner", {"owner_id": PERSON}, {}, lambda deal: deal["owner"] == PERSON),
        ("follower", {"follower_id": PERSON}, {}, lambda deal: deal["followers"] == [PERSON]),
        ("stage", {"target_stage_id": OTHER}, {}, lambda deal: deal["stage_id"] == OTHER),
    ],
)
@pytest.mark.covers("DA-05", "DA-16", "DA-17", "DA-18", "DA-19")
async def test_actions_on_the_deal_itself(
    world: World, configured: Settings, type: str, config: dict[str, Any], deal: dict[str, Any], check: Check
) -> None:
    world.db["users"].insert_one({"_id": PERSON, "account": world.account, "active": True})
    automation = world.automation(type, **config)
    deals = [world.deal(**deal) for _ in range(3)]

    result = await sweep(configured)

    assert (result.units, result.succeeded, result.failed) == (1, 1, 0)
    for id in deals:
        changed = world.db["deals"].find_one({"_id": id})
        assert changed
        assert check(changed), changed
        assert changed["automation_triggered"] == [automation]
    log = world.db["automation_logs"].find_one({"automation": automation})
    assert log
    assert [one["deal"] for one in log["success"]] == deals
    assert (log["failed"], log["type"]) == ([], type)
    ended = world.db["automations"].find_one({"_id": automation})
    assert ended
    assert (ended["is_running"], ended["run"]) == (False, None)
    assert (await sweep(configured)).units == 0


@pytest.mark.parametrize(
    ("type", "config", "collection"),
    [("note", {"note": "Call them"}, "notes"), ("reminder", {"reminder_type": "call", "due_in": 60}, "reminders")],
)
@pytest.mark.covers("DA-05")
async def test_actions_that_write_a_document(
    world: World, configured: Settings, type: str, config: dict[str, Any], collection: str
) -> None:
    automation = world.automation(type, **config)
    deals = {world.deal() for _ in range(3)}

    await sweep(configured)
    # The mark is lost, as if the run had ended before it: the document is there once all the same.
    world.db["deals"].update_many({}, {"$set": {"automation_triggered": []}})
    world.db["automations"].update_many({}, {"$unset": {"watermark": ""}})
    await sweep(configured)

    written = list(world.db[collection].find())
    assert {one["deal_id"] for one in written} == deals
    assert len(written) == 3
    assert {one["automation"] for one in written} == {automation}


@pytest.mark.covers("DA-10", "DA-11")
async def test_the_window_and_the_lists_decide(world: World, configured: Settings) -> None:
    automation = world.automation("add_tag", tag=TAG, delay=300)
    now = datetime.now(UTC)
    due = world.deal(automation_starts=now - timedelta(minutes=10))
    young = world.deal(automation_starts=now - timedelta(minutes=4))
    old = world.deal(automation_starts=now - timedelta(days=2))
    elsewhere = world.deal(stage_id=ObjectId())
    skipped = world.deal(skip_automations=[automation])
    foreign = world.deal(account_id=ObjectId())

    await sweep(configured)

    tagged = {deal["_id"] for deal in world.db["deals"].find({"tags": TAG})}
    assert tagged == {due}
    assert not tagged & {young, old, elsewhere, skipped, foreign}


@pytest.mark.covers("DA-X7")
async def test_a_flagged_deal_is_done_once_more_and_once_only(world: World, configured: Settings) -> None:
    automation = world.automation("note", note="Again")
    deal = world.deal(automation_triggered=[automation], retry_automations=[automation])

    await sweep(configured)
    await sweep(configured)

    changed = world.db["deals"].find_one({"_id": deal})
    assert changed
    assert (changed["retry_automations"], changed["automation_triggered"]) == ([], [automation])
    assert changed["automation_generation"] == {str(automation): 1}
    assert world.db["notes"].count_documents({"deal_id": deal}) == 1


@pytest.mark.covers("DA-X9")
async def test_what_moves_the_deal_away_goes_last(world: World, configured: Settings) -> None:
    world.automation("stage", target_stage_id=OTHER)
    world.automation("add_tag", tag=TAG)
    deal = world.deal()

    for _ in range(3):
        await sweep(configured)

    changed = world.db["deals"].find_one({"_id": deal})
    assert changed
    assert (changed["tags"], changed["stage_id"]) == ([TAG], OTHER)


@pytest.mark.covers("DA-23")
@pytest.mark.parametrize("as_text", [False, True])
async def test_a_deal_that_is_moved_into_another_pipeline_is_in_it(
    world: World, configured: Settings, as_text: bool
) -> None:
    there, pipeline = ObjectId(), ObjectId()
    stage = {"_id": there, "account_id": world.account, "pipeline_id": str(pipeline) if as_text else pipeline}
    world.db["pipeline_stages"].insert_one(stage)
    world.automation("stage", target_stage_id=there)
    deal = world.deal()

    await sweep(configured)

    changed = world.db["deals"].find_one({"_id": deal})
    assert changed
    assert (changed["stage_id"], changed["pipeline_id"]) == (there, pipeline)


@pytest.mark.slow
@pytest.mark.covers("DA-29")
async def test_a_hundred_automations_in_one_sweep(world: World, configured: Settings) -> None:
    stages = [ObjectId() for _ in range(100)]
    automations = {world.automation("add_tag", tag=TAG, stage_id=stage) for stage in stages}
    deals = {world.deal(stage_id=stage) for stage in stages}

    result = await sweep(configured)

    assert (result.units, result.succeeded, result.failed, result.busy) == (100, 100, 0, 0)
    found = list(world.db["deals"].find({"tags": TAG}))
    assert {deal["_id"] for deal in found} == deals
    assert {id for deal in found for id in deal["automation_triggered"]} == automations
