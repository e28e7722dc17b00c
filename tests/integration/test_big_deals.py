"""Deals of many megabytes: a run reads what its action needs, and no more than 16 MB at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import bson
import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.compose_deals import compose_deals
from pipeline_engine.domain.messages.compose import Texts, compose_emails
from pipeline_engine.domain.messages.merge_fields import MergeRecords
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered
from tests.support.automations import automation_of, deal_of, run
from tests.support.engine_app import EngineApp
from tests.support.world import World

MEGABYTE = 1024 * 1024
DEALS, MEGABYTES = 4, 6
MAX_PORTION = 16 * MEGABYTE


def template(world: World, **parts: str) -> ObjectId:
    return ObjectId(world.db["email_templates"].insert_one({"account_id": world.account, **parts}).inserted_id)


def big_deals(world: World) -> list[ObjectId]:
    return [world.deal(additional_info={"notes": "x" * MEGABYTES * MEGABYTE}) for _ in range(DEALS)]


@pytest.fixture
def profiled(world: World) -> Iterator[World]:
    """The server notes what it returns."""
    world.db.command("profile", 2)
    yield world
    world.db.command("profile", 0)


def read_bytes(world: World) -> int:
    """How many bytes of deals the server has returned."""
    found = world.db["system.profile"].find({"ns": world.db["deals"].full_name, "appName": "pipeline_engine"})
    return sum(one.get("responseLength", 0) for one in found)


@pytest.mark.parametrize("type", ["email", "note", "reminder"])
@pytest.mark.covers("DA-X12")
async def test_what_the_action_does_not_need_is_not_read(profiled: World, app: EngineApp, type: str) -> None:
    world = profiled
    config: dict[str, Any] = {
        "email": {"email_template_id": template(world, subject="{{ deal.name }}", text="Hi {{ contact.name }}")},
        "note": {"note": "x"},
        "reminder": {"reminder_type": "call"},
    }
    automation = world.automation(type, **config[type])
    deals = big_deals(world)

    await run(app, automation)

    assert all(deal_of(world, deal)["automation_triggered"] == [automation] for deal in deals)
    assert 0 < read_bytes(world) < MEGABYTE


@pytest.mark.covers("DA-X12")
async def test_a_template_that_uses_the_whole_deal_reads_16_megabytes_at_a_time(world: World, app: EngineApp) -> None:
    automation = read_automation(automation_of(world, world.automation("email")))
    deals = [{"_id": id} for id in big_deals(world)]
    portions: list[Sequence[MergeRecords]] = []

    async def compose(
        app: App, account: ObjectId, template: Texts, records: Sequence[MergeRecords], source: str
    ) -> list[Mail | NotRendered]:
        portions.append(records)
        return await compose_emails(app, account, template, records, source)

    gone = {"_id": ObjectId()}
    composed = await compose_deals(
        app, automation, {"text": "{{ deal | length }} {{ deal.name }}"}, [gone, *deals], compose
    )

    assert sum(len(portion) for portion in portions) == DEALS
    assert all(sum(len(bson.encode(one["deal"])) for one in portion) <= MAX_PORTION for portion in portions)
    assert composed[0] is None
    assert all(callable(one) for one in composed[1:])
