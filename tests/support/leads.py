"""Lead pipelines on real servers without the lanes between: tests decide which job runs when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.leads import run
from pipeline_engine.domain.leads.exits import run_exits
from pipeline_engine.domain.leads.turns import Turns
from tests.support.engine_app import EngineApp
from tests.support.stopped_clock import stopped
from tests.support.world import World

Document = dict[str, Any]
Job = Callable[..., Awaitable[Any]]
JOBS: tuple[Job, ...] = (run.run_enter, run.run_internal, run.run_email, run.run_sms)


def action(type: str, **config: Any) -> Document:
    return {"type": type, "config": config}


def stage(world: World, *actions: Document, **fields: Any) -> ObjectId:
    """A stage with these actions, numbered from 1."""
    id = ObjectId()
    common = {"account_id": world.account, "pipeline_id": world.pipeline}
    world.db["pipeline_stages"].insert_one({"_id": id, **common, "name": str(id), **fields})
    put_actions(world, id, *actions)
    return id


def put_actions(world: World, stage_id: ObjectId, *actions: Document) -> None:
    rows = [
        {"account_id": world.account, "stage_id": stage_id, "sequence_number": n, "active": True, **one}
        for n, one in enumerate(actions, 1)
    ]
    if rows:
        world.db["pipeline_stage_actions"].insert_many(rows)


def lead(world: World, **fields: Any) -> ObjectId:
    id = ObjectId()
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "status": "open", "tags": []}
    person = {"name": "Ada", "email": f"{id}@example.com", "phone": "+15005550006"}
    world.db["leads"].insert_one({"_id": id, **own, **person, **fields})
    return id


def enter(world: World, stage_id: ObjectId, *leads: ObjectId, **fields: Any) -> list[ObjectId]:
    """As the CRM does: entries with status `entering`, of a second ago, since the engine keeps its server's time."""
    now = datetime.now(UTC) - timedelta(seconds=1)
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "stage_id": stage_id, "status": "entering"}
    documents = [{"_id": ObjectId(), **own, "lead_id": one, "entered_at": now, **fields} for one in leads]
    world.db["lead_stages"].insert_many(documents)
    return [one["_id"] for one in documents]


def entered(world: World, stage_id: ObjectId, **fields: Any) -> tuple[ObjectId, ObjectId]:
    """A new lead that enters the stage: its id and that of the entry."""
    id = lead(world, **fields)
    return id, enter(world, stage_id, id)[0]


def reply(world: World, lead_id: ObjectId, channel: str = "email", **fields: Any) -> ObjectId:
    own = {"account_id": world.account, "lead_id": lead_id, "channel": channel, "received_at": datetime.now(UTC)}
    return ObjectId(world.db["lead_responses"].insert_one({**own, **fields}).inserted_id)


def entry(world: World, id: ObjectId) -> Document:
    found = world.db["lead_stages"].find_one({"_id": id})
    assert found
    return found


def rows(world: World, id: ObjectId) -> list[Document]:
    return list(world.db["lead_stage_actions"].find({"lead_stage_id": id}).sort("sequence_number"))


def statuses(world: World, id: ObjectId) -> list[str]:
    return [row["status"] for row in rows(world, id)]


def lead_of(world: World, id: ObjectId) -> Document:
    found = world.db["leads"].find_one({"_id": id})
    assert found
    return found


def last_entry(world: World, lead_id: ObjectId) -> Document:
    """The entry of the lead that was let in last."""
    found = list(
        world.db["lead_stages"].find({"lead_id": lead_id}).sort([("entered_at", -1), ("moves", -1), ("_id", -1)])
    )
    return found[0]


async def work(app: EngineApp, world: World, jobs: Sequence[Job] = JOBS, rounds: int = 5) -> None:
    """Every job of the account, so often that what one makes due is done by another."""
    with stopped(app.clock):
        for _ in range(rounds):
            await app.heartbeat.beat()  # no heartbeat runs here
            await run_exits(app, None, "exits")
            for job in jobs:
                await job(app, Turns(), world.account)


async def later(app: EngineApp, world: World, **time: float) -> None:
    """As `work`, after this time: the engine's clock is moved."""
    app.clock.set(app.clock.now() + timedelta(**time))
    await work(app, world)


def template(world: World, text: str = "Hello {{ lead.name }}") -> ObjectId:
    found = {"account_id": world.account, "subject": "Hello", "text": text}
    return ObjectId(world.db["email_templates"].insert_one(found).inserted_id)
