"""What users and other systems hear of a run."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.settings import Settings
from tests.support.automations import automation_of, run
from tests.support.engine_app import EngineApp, open_app
from tests.support.world import World

TAG, NEXT = ObjectId(), ObjectId()


def sent(world: World, event: str) -> list[dict[str, Any]]:
    return list(world.db["outbox"].find({"event": event}).sort("_id"))


@pytest.mark.covers("DA-15", "DA-X13")
async def test_the_creators_of_the_deals_hear_of_a_run_once_and_its_creator_of_the_end(
    world: World, configured: Settings
) -> None:
    automation, ada, bob = world.automation("add_tag", tag=TAG), ObjectId(), ObjectId()
    for creator in (ada, ada, bob, ada, None):
        world.deal(created_by=creator)
    world.deal(stage_id=ObjectId(), created_by=ObjectId())

    # Several slices and batches: one run all the same.
    small = configured.model_copy(update={"automation_batch": 2, "automation_slice_seconds": 0.001})
    async with open_app(small) as app:
        await run(app, automation)

    (begun,), (ended,) = sent(world, "process_deals"), sent(world, "automation_finished")
    assert sorted(begun["user_ids"]) == sorted([str(ada), str(bob)])
    assert begun["data"] == {"automation": str(automation), "stage_id": str(world.stage), "deals": 5}
    assert ended["user_ids"] == [str(world.user)]
    assert ended["data"] == {"automation": str(automation), "succeeded": 5, "failed": 0}
    assert {begun["account_id"], ended["account_id"]} == {world.account}


@pytest.mark.covers("DA-X13")
async def test_another_run_is_announced_anew_and_a_run_without_deals_is_not(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    for _ in range(2):
        world.deal()
        await run(app, automation)
    await run(app, automation)

    assert len(sent(world, "process_deals")) == len(sent(world, "automation_finished")) == 2
    assert automation_of(world, automation)["last_run"]["succeeded"] == 1


async def test_events_of_an_automation_without_a_creator_have_no_recipient(world: World, app: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG, created_by=None)
    world.deal()

    await run(app, automation)

    (ended,) = sent(world, "automation_finished")
    assert ended["user_ids"] == []


@pytest.mark.covers("DA-23")
async def test_a_batch_of_moves_is_one_event_with_its_ids(world: World, configured: Settings) -> None:
    automation = world.automation("stage", target_stage_id=NEXT)
    deals = [world.deal() for _ in range(5)]

    async with open_app(configured.model_copy(update={"automation_batch": 3})) as app:
        await run(app, automation)

    events = list(world.db["crm_events"].find())
    assert sorted(len(event["data"]["deals"]) for event in events) == [2, 3]
    assert {deal for event in events for deal in event["data"]["deals"]} == set(deals)
    assert {(event["type"], event["status"], event["user_id"]) for event in events} == {
        ("deal.stage_changed", "new", world.user)
    }
