"""Endpoints and deliveries of any shape: each ends, fails with a reason or is set aside, and harms no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId

from pipeline_engine.domain.webhooks.sweep import find
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import look
from tests.support.engine_app import EngineApp, open_app
from tests.support.fuzz.strangers import ODD_IDS, STRANGERS
from tests.support.stand_ins.endpoint import Answer, Endpoint
from tests.support.webhooks import consumed, deliver, deliveries, webhook, webhook_of
from tests.support.world import World

FULL = 2**24


def delivery(world: World, webhook_id: object, **fields: Any) -> ObjectId:
    """A delivery with a payload of its own, as another program may have inserted it."""
    id, now = ObjectId(), datetime.now(UTC)
    about = {"account_id": world.account, "webhook_id": webhook_id, "event_id": "e1", "type": "t"}
    state = {"state": "pending", "attempts": [], "next_at": now, "createdAt": now, "payload": {"data": {}}}
    world.db["webhook_deliveries"].insert_one({"_id": id, **about, **state, **fields})
    return id


def fill(world: World, collection: str, id: object) -> None:
    """Leave no room in the document for another field."""
    document = world.db[collection].find_one_and_delete({"_id": id}) or {}
    room = FULL - len(bson.encode({**document, "filling": ""}))
    world.db[collection].insert_one({**document, "filling": "x" * room})


def delivery_of(world: World, id: object) -> dict[str, Any]:
    (found,) = deliveries(world, _id=id)
    return found


def aside(world: World) -> list[tuple[str, Any]]:
    return [(one["collection"], one["document_id"]) for one in world.db["quarantine"].find()]


async def found(app: EngineApp) -> list[str]:
    return [unit.id for unit in await look(app, lambda: find(app))]


async def test_deliveries_that_name_no_endpoint_are_set_aside(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    odd = [delivery(world, stranger) for stranger in STRANGERS if not isinstance(stranger, ObjectId)]
    good = webhook(world, endpoint.url)
    delivery(world, good)

    assert await found(app) == [str(good)]
    await deliver(app, world)

    assert await found(app) == []
    assert {id for _, id in aside(world)} == {*odd}
    assert len(endpoint.received) == 1


async def test_a_delivery_under_another_account_than_its_endpoint_fails(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    foreign = delivery(world, webhook(world, endpoint.url), account_id=ObjectId())

    await deliver(app, world)

    ended = delivery_of(world, foreign)
    assert (ended["state"], ended["reason"]) == ("failed", "its endpoint belongs to another account")
    assert await found(app) == []
    assert endpoint.received == []


@pytest.mark.parametrize("odd", [{"event_id": None}, {"payload": "text"}, {"payload": [1]}], ids=str)
async def test_a_delivery_of_which_nothing_can_be_posted_fails_alone(
    world: World, app: EngineApp, endpoint: Endpoint, odd: dict[str, Any]
) -> None:
    id = webhook(world, endpoint.url)
    bad, good = delivery(world, id, **odd), delivery(world, id)

    for _ in range(2):
        await deliver(app, world)

    assert (delivery_of(world, bad)["state"], delivery_of(world, good)["state"]) == ("failed", "delivered")
    assert delivery_of(world, bad)["attempts"][-1]["error"] == "the event no longer exists"
    assert webhook_of(world, id).get("failures", 0) == 0


async def test_what_has_a_payload_of_its_own_arrives_with_a_time_and_without_a_link(
    world: World, configured: Settings, endpoint: Endpoint
) -> None:
    id, then = webhook(world, endpoint.url), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    delivery(world, id, payload={"data": {"text": "x" * 30_000}}, createdAt=then)
    async with open_app(configured.model_copy(update={"public_url": "https://crm.example.com"})) as app:
        await deliver(app, world)

    (received,) = endpoint.received
    assert received.content["truncated"]
    assert (received.content["timestamp"], received.content.get("link")) == ("2026-01-02T03:04:05Z", None)


async def test_a_delivery_without_room_for_an_attempt_is_set_aside_alone(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url)
    full, good = delivery(world, id), delivery(world, id)
    fill(world, "webhook_deliveries", full)

    await deliver(app, world)

    assert aside(world) == [("webhook_deliveries", full)]
    assert delivery_of(world, good)["state"] == "delivered"
    assert await found(app) == []


@pytest.mark.parametrize("odd", ODD_IDS, ids=repr)
async def test_a_delivery_that_no_job_can_name_is_set_aside_alone(
    world: World, app: EngineApp, endpoint: Endpoint, odd: Any
) -> None:
    id = webhook(world, endpoint.url)
    delivery(world, id, _id=odd)
    good = delivery(world, id)

    await deliver(app, world)

    assert [collection for collection, _ in aside(world)] == ["webhook_deliveries"]
    assert (delivery_of(world, good)["state"], len(endpoint.received)) == ("delivered", 1)
    assert await found(app) == []


@pytest.mark.parametrize("expires_at", [None, "x", datetime(9999, 12, 31, tzinfo=UTC)], ids=str)
async def test_what_a_disabled_endpoint_holds_waits_whenever_it_expires(
    world: World, app: EngineApp, endpoint: Endpoint, expires_at: object
) -> None:
    id = webhook(world, endpoint.url, active=False)
    held = delivery(world, id, expires_at=expires_at)
    await deliver(app, world)
    assert await found(app) == []

    world.db["webhooks"].update_one({"_id": id}, {"$set": {"active": True}})
    await deliver(app, world)

    assert delivery_of(world, held)["state"] == "delivered"


async def test_an_endpoint_that_cannot_be_disabled_is_set_aside_with_what_is_due(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    bad = webhook(world, endpoint.url, events="all of them")
    world.db["webhooks"].update_one({"_id": bad}, {"$set": {"events": "all of them"}})
    fill(world, "webhooks", bad)
    delivery(world, bad)
    webhook(world, endpoint.url)
    consumed(world)

    await deliver(app, world)

    assert aside(world) == [("webhooks", bad)]
    assert len(endpoint.received) == 1
    assert await found(app) == []


async def test_more_failures_than_mongodb_can_count_are_not_counted(
    world: World, app: EngineApp, endpoint: Endpoint
) -> None:
    id = webhook(world, endpoint.url, failures=2**63 - 1)
    endpoint.manner = Answer(500)
    tried = delivery(world, id)

    await deliver(app, world)

    assert len(delivery_of(world, tried)["attempts"]) == 1
    assert webhook_of(world, id)["lease_owner"] is None


async def test_a_list_of_switches_is_no_switch(world: World, app: EngineApp, endpoint: Endpoint) -> None:
    webhook(world, endpoint.url, holds=[True])
    await deliver(app, world)
    assert await found(app) == []
