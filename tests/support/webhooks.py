"""Webhooks on real servers without the lanes between: tests decide which job runs when."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.account_places import AccountPlaces
from pipeline_engine.domain.webhooks.fan_out import run_fan_out
from pipeline_engine.domain.webhooks.post import run_post
from pipeline_engine.domain.webhooks.signature import new_secret
from tests.support.engine_app import EngineApp
from tests.support.world import World

Document = dict[str, Any]


def webhook(world: World, where: str, *events: str, **fields: Any) -> ObjectId:
    """An endpoint that wants these types, all of them without any."""
    own = {"account_id": world.account, "url": where, "secret": new_secret(), "events": list(events) or ["*"]}
    return ObjectId(world.db["webhooks"].insert_one({**own, "active": True, **fields}).inserted_id)


def consumed(world: World, type: str = "contact.created", /, **fields: Any) -> str:
    """An event that all consumers have had, and that webhooks have not taken."""
    id, now = str(ObjectId()), datetime.now(UTC)
    own = {"_id": id, "account_id": world.account, "type": type, "occurred_at": now, "status": "done"}
    data = {"contact_id": ObjectId(), "source": "form"}
    world.db["crm_events"].insert_one({**own, "data": data, "onward": ["webhooks"], "handed_on": True, **fields})
    return id


def webhook_of(world: World, id: ObjectId) -> Document:
    found = world.db["webhooks"].find_one({"_id": id})
    assert found
    return found


def deliveries(world: World, **query: Any) -> list[Document]:
    return list(world.db["webhook_deliveries"].find(query).sort("createdAt"))


def states(world: World) -> dict[str, int]:
    return dict(Counter(one["state"] for one in deliveries(world)))


async def deliver(app: EngineApp, world: World) -> None:
    """The jobs of the account and of its endpoints, once."""
    await app.heartbeat.beat()  # no heartbeat runs here
    await run_fan_out(app, None, world.account)
    for one in world.db["webhooks"].find({"account_id": world.account}):
        await app.heartbeat.beat()
        await run_post(app, AccountPlaces(5), one["_id"])


async def later(app: EngineApp, world: World, **time: float) -> None:
    """As `deliver`, after this time: the engine's clock is moved."""
    app.clock.set(app.clock.now() + timedelta(**time))
    await deliver(app, world)
