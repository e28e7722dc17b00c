"""What is settled is not read again, and nothing that is due hides behind it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from tests.support.automations import ago, automation_of, deal_of, due, tagged, work_off
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

TAG = ObjectId()
SETTLED = 20_000


def settle(world: World, automation: ObjectId, deals: int) -> None:
    template = deal_of(world, world.deal(automation_triggered=[automation]))
    first = ago(hours=12)
    many = [
        {**template, "_id": ObjectId(), "automation_starts": first + timedelta(seconds=n)} for n in range(deals - 1)
    ]
    world.db["deals"].insert_many(many)


async def all_is_heard(world: World, listening: EngineApp) -> None:
    """The change stream has brought everything up to now."""
    marker = ObjectId()
    before = listening.changes.complete_since(marker)
    world.deal(stage_id=marker)
    await eventually(
        lambda: listening.changes.complete_since(marker) != before, "the change stream tells of the marker", 30
    )


async def documents_read(world: World, app: EngineApp) -> int:
    """How many deals MongoDB looks at for one sweep."""
    world.db["system.profile"].drop()
    world.db.command("profile", 2)
    await due(app)
    world.db.command("profile", 0)
    looks = world.db["system.profile"].find({"ns": f"{world.db.name}.deals", "op": "query"})
    return sum(look["docsExamined"] + look["keysExamined"] for look in looks)


@pytest.mark.covers("DA-26")
async def test_a_look_reads_what_is_due_and_not_what_is_settled(world: World, listening: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    settle(world, automation, SETTLED)
    await all_is_heard(world, listening)
    assert await documents_read(world, listening) >= SETTLED  # the first look is at all of them
    assert await documents_read(world, listening) < 50
    for _ in range(10):
        world.deal(automation_starts=ago(seconds=5))

    assert await documents_read(world, listening) < 100
    assert await work_off(listening) == {automation}
    assert len(tagged(world, TAG)) == 10
    assert await documents_read(world, listening) < 100


@pytest.mark.covers("DA-26")
async def test_many_deals_are_not_read_from_the_beginning_for_every_batch(world: World, listening: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    settle(world, automation, 3000)
    world.db["deals"].update_many({}, {"$set": {"automation_triggered": []}})
    world.db.command("profile", 2)
    await work_off(listening)
    world.db.command("profile", 0)

    looks = world.db["system.profile"].find({"ns": f"{world.db.name}.deals", "op": "query"})
    assert sum(look["docsExamined"] for look in looks) < 5 * 3000
    assert len(tagged(world, TAG)) == 3000


def edit(world: World, automation: ObjectId, old: ObjectId) -> None:
    world.db["automations"].update_one({"_id": automation}, {"$set": {"createdAt": ago(days=3)}})


def flag(world: World, automation: ObjectId, old: ObjectId) -> None:
    changes = {"retry_automations": [automation], "automation_starts": ago(hours=20)}
    world.db["deals"].update_one({"_id": old}, {"$set": changes})


def enter_late(world: World, automation: ObjectId, old: ObjectId) -> None:
    world.db["deals"].update_one({"_id": old}, {"$set": {"automation_starts": ago(hours=20)}})


def move_without_a_time(world: World, automation: ObjectId, old: ObjectId) -> None:
    world.db["deals"].update_one({"_id": old}, {"$set": {"stage_id": ObjectId(), "automation_starts": ago(hours=20)}})
    world.db["deals"].update_one({"_id": old}, {"$set": {"stage_id": world.stage}})


@pytest.mark.parametrize("change", [edit, flag, enter_late, move_without_a_time])
async def test_old_deals_that_become_due_are_found_behind_the_watermark(
    world: World, listening: EngineApp, change: Any
) -> None:
    automation = world.automation("add_tag", tag=TAG)
    old, new = world.deal(automation_starts=ago(days=2)), world.deal()
    await all_is_heard(world, listening)
    await work_off(listening)
    assert tagged(world, TAG) == {new}
    assert automation_of(world, automation)["watermark"]["settled_until"] > ago(minutes=5)

    change(world, automation, old)
    await all_is_heard(world, listening)

    assert await work_off(listening) == {automation}
    assert tagged(world, TAG) == {old, new}


async def test_a_deal_inserted_with_an_old_time_of_entry_is_found(world: World, listening: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    world.deal()
    await all_is_heard(world, listening)
    await work_off(listening)
    late = world.deal(automation_starts=ago(hours=3))
    await all_is_heard(world, listening)

    assert await work_off(listening) == {automation}

    assert late in tagged(world, TAG)


async def test_without_a_change_stream_every_look_is_at_all_deals(world: World, app: EngineApp) -> None:
    world.automation("add_tag", tag=TAG)
    for hours in (1, 3, 2):
        deal = world.deal(automation_starts=ago(hours=hours))
        await work_off(app)
        assert deal in tagged(world, TAG)


async def test_once_an_hour_all_deals_are_looked_at(world: World, listening: EngineApp) -> None:
    automation = world.automation("add_tag", tag=TAG)
    hidden = world.deal(skip_automations=[automation])
    world.deal()
    await all_is_heard(world, listening)
    await work_off(listening)
    world.db["deals"].update_one({"_id": hidden}, {"$set": {"skip_automations": []}})
    assert await due(listening) == set()

    listening.clock.set(listening.clock.now() + timedelta(minutes=61))

    assert await work_off(listening) == {automation}
    assert hidden in tagged(world, TAG)
