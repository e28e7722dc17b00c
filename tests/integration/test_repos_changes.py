"""The change stream tells of what became due, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from bson import Regex
from bson.datetime_ms import DatetimeMS

from pipeline_engine.repos.changes import Change
from tests.support.automations import ago
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World


@pytest.fixture
async def heard(app: EngineApp) -> AsyncIterator[list[str]]:
    """The collections seen so far, by a stream that is known to listen."""
    seen: list[str] = []

    async def listen(changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            seen.append(change.collection)  # noqa: PERF401 - the stream never ends

    async with app.changes.listen() as changes:
        listening = asyncio.create_task(listen(changes))
        yield seen
        listening.cancel()


def update(world: World, **changes: Any) -> None:
    world.db["queues"].update_one({"source": "deals"}, {"$set": changes})


def dead_credential(world: World, **changes: Any) -> None:
    """A credential that is to be connected again, and what becomes of it."""
    id = world.db["integration_credentials"].insert_one({"status": "reauth_required", "version": 3}).inserted_id
    world.db["integration_credentials"].update_one({"_id": id}, {"$set": changes})


DUE: dict[str, Callable[[World], object]] = {
    "a new import": lambda world: world.queue("a.csv"),
    "an import set back": lambda world: update(world, status="pending"),
    "an import replaced": lambda world: world.db["queues"].replace_one(
        {"source": "deals"}, {"source": "deals", "status": "pending"}
    ),
    "a cancelled import": lambda world: update(world, cancel_requested=True),
    "a new clone": lambda world: world.db["funnels"].insert_one({"pending": True}),
    "a funnel set to be cloned": lambda world: world.db["funnels"].update_one({}, {"$set": {"pending": True}}),
    "a clone that ended": lambda world: world.db["funnels"].update_one({}, {"$set": {"in_progress": False}}),
    "a credential that is connected again": lambda world: dead_credential(world, status="ok", version=4),
    "an event for a user": lambda world: world.db["outbox"].insert_one({"state": "waiting"}),
}
NOT_DUE: dict[str, Callable[[World], object]] = {
    "an import that has ended": lambda world: world.queue("a.csv", status="completed"),
    "an import of contacts": lambda world: world.queue("a.csv", source="contacts"),
    "progress": lambda world: update(world, progress={"rows_added": 1}),
    "a heartbeat": lambda world: update(world, lease_until=None),
    "a funnel that is none": lambda world: world.db["funnels"].insert_one({"name": "x"}),
    "a clone's progress": lambda world: world.db["funnels"].update_one({}, {"$set": {"clone.steps_done": 1}}),
    "a step of a clone": lambda world: world.db["funnel.step"].insert_one({"pending": True}),
    "a deal of an import, whose chunk tells": lambda world: world.db["deals"].insert_one({"import_id": 1}),
    "a chunk": lambda world: world.db["import_chunks"].insert_one({"state": "open"}),
    "a credential of another version": lambda world: dead_credential(world, version=4),
    "an event delivered": lambda world: world.db["outbox"].update_many({}, {"$set": {"state": "delivered"}}),
}


@pytest.mark.parametrize("act", DUE.values(), ids=DUE)
async def test_what_makes_work_due_is_seen(world: World, heard: list[str], act: Callable[[World], object]) -> None:
    world.queue("a.csv", status="processing")
    world.db["funnels"].insert_one({"in_progress": True})

    act(world)

    async def arrived() -> bool:
        return bool(heard)

    await eventually(arrived, "the change arrived")
    assert heard[0] in ("queues", "outbox", "funnels", "integration_credentials")


@pytest.mark.parametrize("act", NOT_DUE.values(), ids=NOT_DUE)
async def test_what_makes_nothing_due_is_not(world: World, heard: list[str], act: Callable[[World], object]) -> None:
    world.queue("a.csv", status="processing")
    world.db["funnels"].insert_one({"in_progress": True})

    act(world)
    world.db["outbox"].insert_one({"state": "waiting"})

    async def marker() -> bool:
        return "outbox" in heard

    await eventually(marker, "what came after it arrived")
    assert heard == ["outbox"]


async def test_a_date_beyond_every_calendar_ends_no_stream(world: World, heard: list[str]) -> None:
    deal = world.deal()
    world.db["deals"].update_one({"_id": deal}, {"$set": {"automation_starts": DatetimeMS(900_000_000_000_000)}})
    world.db["outbox"].insert_one({"state": "waiting"})

    async def marker() -> bool:
        return "outbox" in heard

    await eventually(marker, "what came after it arrived")
    assert heard == ["deals", "deals", "outbox"]


@pytest.mark.parametrize("stage", [Regex("x"), ["x"], {"$ref": "x", "$id": 1}, 5, None, "x" * 1000])
async def test_a_stage_that_is_none_means_any_stage(world: World, app: EngineApp, stage: object) -> None:
    good = world.stage
    async with app.changes.listen() as changes:
        world.db["deals"].insert_one({"account_id": world.account, "stage_id": stage, "automation_starts": ago(days=1)})
        world.deal()
        seen = [await anext(changes), await anext(changes)]

    assert [one.place for one in seen] == [None, good]


async def test_the_server_looks_for_names_only_in_its_oplog(world: World, app: EngineApp) -> None:
    """All that makes work due, looked for in the oplog, took the server longer than the writes themselves."""
    pipeline = [{"$changeStream": {}}, *app.changes.pipeline]
    plan = world.db.command(
        {"explain": {"aggregate": 1, "pipeline": pipeline, "cursor": {}}, "verbosity": "queryPlanner"}
    )
    in_oplog = str(plan["stages"][0]["$cursor"]["queryPlanner"]["parsedQuery"])

    assert "lead_stages" in in_oplog
    assert "cancel_requested" not in in_oplog
