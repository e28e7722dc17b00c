"""CRM events on real servers without the lanes between: tests decide which job runs when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.activity_log import write
from pipeline_engine.domain.consumers import consume, sweep
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.domain.consumers.table import Consumer
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.repos.activity_log import ActivityRepos
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from tests.support.stopped_clock import stopped
from tests.support.world import World

Document = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)


def contact(world: World, **fields: Any) -> ObjectId:
    id = ObjectId()
    person = {"name": "Ada", "email": f"{id}@example.com", "phone": "+15005550006", "company": "", "title": None}
    world.db["contacts"].insert_one({"_id": id, "account_id": world.account, **person, **fields})
    return id


def contact_of(world: World, id: ObjectId) -> Document:
    found = world.db["contacts"].find_one({"_id": id})
    assert found
    return found


def insert(world: World, type: str, data: object, at: float = 0.0, **fields: Any) -> Any:
    """As anyone may: a document with status `new`, which occurred `at` seconds after START. Returns its id."""
    event = {"_id": f"event-{ObjectId()}", "type": type, "account_id": world.account, "data": data, "status": "new"}
    event |= {"occurred_at": START + timedelta(seconds=at), **fields}
    world.db["crm_events"].insert_one(event)
    return event["_id"]


def created(world: World, contact_id: ObjectId, at: float = 0.0, **fields: Any) -> Any:
    return insert(world, "contact.created", {"contact_id": contact_id, "source": "form"}, at, **fields)


def event_of(world: World, id: object) -> Document:
    found = world.db["crm_events"].find_one({"_id": id})
    assert found
    return found


def letters(world: World) -> list[Document]:
    return list(world.db["dead_letters"].find())


def members(world: World, count: int, **fields: Any) -> list[ObjectId]:
    """Active team members, in order of user id."""
    users = sorted(ObjectId() for _ in range(count))
    world.db["team_members"].insert_many(
        [{"account_id": world.account, "user_id": user, "active": True, **fields} for user in users]
    )
    return users


def profile(world: World, **fields: Any) -> None:
    world.db["business_profiles"].update_one({"account_id": world.account}, {"$set": fields}, upsert=True)


async def work(app: App, world: World) -> None:
    """Consume the account's due events, to the last one."""
    scope = app.with_repos(ConsumerRepos.open)
    outcome: Outcome | None = Snooze()
    with stopped(app.clock):
        while isinstance(outcome, Snooze):
            await app.heartbeat.beat()  # no heartbeat runs here
            outcome = await consume.run_consume(scope, None, world.account)


async def consumers_find(app: App) -> list[Unit]:
    """What a sweep would dispatch now."""
    return await sweep.find(app.with_repos(ConsumerRepos.open))


async def write_log(app: App, world: World) -> None:
    while await write.run_log(app.with_repos(ActivityRepos.open), None, world.account):
        pass


async def later(app: App, world: World, **time: float) -> None:
    """As `work`, after this time: the engine's clock is moved."""
    app.clock.set(app.clock.now() + timedelta(**time))
    await work(app, world)


class Spy:
    """A consumer that notes in which order it gets events, and fails for some."""

    def __init__(self, name: str = "spy", *types: str) -> None:
        self.seen: list[Any] = []
        self.failing: set[Any] = set()
        self.consumer = Consumer(name, frozenset(types or ("contact.created",)), self._run)

    async def _run(
        self, _app: App[ConsumerRepos], _account: ObjectId, events: Sequence[Event]
    ) -> Mapping[Any, Exception]:
        self.seen += [event.id for event in events]
        return {event.id: ValueError("on purpose") for event in events if event.id in self.failing}
