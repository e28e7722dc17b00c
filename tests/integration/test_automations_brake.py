"""An automation that mostly fails stops by itself, tries with one deal, and goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.settings import Settings
from tests.support.automations import ago, automation_of, due, logs_of, run
from tests.support.engine_app import EngineApp, open_app
from tests.support.world import World


def spoil(world: World, spoiled: int, good: int) -> ObjectId:
    """An automation for which the server refuses so many deals."""
    automation = world.automation("note", note="x")
    refused = [world.deal() for _ in range(spoiled)]
    for _ in range(good):
        world.deal()
    world.demand("notes", {"deal_id": {"$nin": refused}})
    return automation


def mend(world: World, automation: ObjectId) -> None:
    world.db.command("collMod", "notes", validator={})
    world.db["automations"].update_one({"_id": automation}, {"$set": {"paused_until": ago(seconds=1)}})


@pytest.mark.parametrize(
    ("spoiled", "good", "paused"), [(11, 9, True), (10, 10, False), (19, 0, False), (20, 0, True), (1, 99, False)]
)
@pytest.mark.covers("DA-X6")
async def test_it_takes_twenty_effects_and_more_than_half_of_them_failed(
    world: World, app: EngineApp, spoiled: int, good: int, paused: bool
) -> None:
    automation = spoil(world, spoiled, good)

    await run(app, automation)

    document = automation_of(world, automation)
    assert ("paused_until" in document) is paused
    assert (document["run"], document["is_running"]) == (None, False)
    sent = list(world.db["outbox"].find({"event": "automation_paused"}))
    assert len(sent) == paused
    if paused:
        reason = f"{spoiled} of {spoiled + good} effects failed"
        assert document["paused_reason"] == reason
        assert (sent[0]["user_ids"], sent[0]["data"]["reason"]) == ([str(world.user)], reason)
        assert document["paused_until"] > datetime.now(UTC) + timedelta(minutes=14)


@pytest.mark.covers("DA-X6")
async def test_paused_it_probes_with_one_deal_and_goes_on_when_that_succeeds(
    world: World, configured: Settings
) -> None:
    automation = spoil(world, 60, 0)
    async with open_app(configured.model_copy(update={"automation_batch": 4})) as app:
        await run(app, automation)
        assert world.db["deals"].count_documents({"automation_failed": automation}) == 20
        assert await due(app) == set()

        world.db["automations"].update_one({"_id": automation}, {"$set": {"paused_until": ago(seconds=1)}})
        assert await due(app) == {automation}
        await run(app, automation)
        assert world.db["deals"].count_documents({"automation_failed": automation}) == 21
        assert automation_of(world, automation)["paused_until"] > datetime.now(UTC)

        mend(world, automation)
        await run(app, automation)

    assert world.db["notes"].count_documents({}) == 39
    first, *others = [len(log["success"]) for log in logs_of(world, automation) if log["success"]]
    assert (first, sum(others)) == (1, 38)
    document = automation_of(world, automation)
    assert (document["brake"], document["paused_until"], document["paused_reason"]) == (None, None, None)


@pytest.mark.covers("DA-X6")
async def test_deals_that_nothing_can_be_sent_to_say_nothing_of_the_automation(world: World, app: EngineApp) -> None:
    template = world.db["email_templates"].insert_one({"account_id": world.account, "subject": "S", "text": "T"})
    automation = world.automation("email", email_template_id=template.inserted_id)
    for _ in range(25):
        world.deal(contact_email=None)
    world.db["automations"].update_one({"_id": automation}, {"$set": {"brake": {"since": ago(hours=1)}}})

    await run(app, automation)

    document = automation_of(world, automation)
    assert world.db["deals"].count_documents({"automation_failed": automation}) == 25
    assert (document.get("paused_until"), bool(document["brake"])) == (None, True)
    assert {log["unreachable"] for log in logs_of(world, automation)} == {1}
