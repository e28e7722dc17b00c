"""Unique indexes that are lost with their collection: created again, or named with the documents that clash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.csv.values import name_key
from pipeline_engine.index_check import keep_indexes
from pipeline_engine.repos.indexes import create_indexes, missing_indexes
from pipeline_engine.repos.stages import Stages
from pipeline_engine.settings import Settings
from pipeline_engine.wake_up import WakeUp
from pipeline_engine.watcher import watch
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.said import Said
from tests.support.world import World

STAGE_INDEX = "pipeline_stages.account_id_1_pipeline_id_1_name_key_1"


TWIN: dict[str, dict[str, Any]] = {
    "pipeline_stages": {"account_id": 1, "pipeline_id": 1, "name_key": "won"},
    "forms": {"funnel_id": 1, "source_form_id": 1},
}
"""{collection: what two documents may not have in common}."""


async def plant_twins(app: EngineApp, collection: str, count: int = 2) -> list[ObjectId]:
    """Documents that clash, without the collection's indexes."""
    await app.database[collection].drop_indexes()
    documents = [{"_id": ObjectId(), **twin} for twin in [TWIN[collection]] * count]
    await app.database[collection].insert_many(documents)
    return [ObjectId(document["_id"]) for document in documents]


@pytest.fixture
async def checking(app: EngineApp) -> AsyncIterator[WakeUp]:
    """The loops of a daemon that notice drops."""
    wake_up = WakeUp()
    tasks = [
        asyncio.create_task(watch(app, {}, wake_up)),
        asyncio.create_task(keep_indexes(app, wake_up)),
    ]
    await eventually(lambda: app.changes.complete_since(ObjectId()) is not None, "the change stream is open", 10)
    yield wake_up
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("collection", ["pipeline_stages", "forms"])
@pytest.mark.parametrize("count", [2, 5])
async def test_documents_that_clash_are_named_and_other_indexes_are_created(
    app: EngineApp, collection: str, count: int
) -> None:
    ids = await plant_twins(app, collection, count)
    await app.database["outbox"].drop_indexes()

    (problem,) = (await create_indexes(app.database, app.collections)).problems

    assert problem.collection == collection
    more = f" and {count - 2} more" if count > 2 else ""
    assert problem.reason == f"documents with the same key: {ids[0]}, {ids[-1]}{more}"
    assert await missing_indexes(app.database, app.collections) == [f"{collection}.{problem.index}"]


@pytest.mark.parametrize("value", [[1, 2], "x", None])
async def test_an_index_that_the_server_refuses_for_another_reason_is_named(app: EngineApp, value: object) -> None:
    await app.database["pipeline_stages"].drop_indexes()
    await app.database["pipeline_stages"].create_index(
        [("account_id", 1), ("pipeline_id", 1), ("name_key", 1)], name=STAGE_INDEX.split(".")[1]
    )
    await app.database["pipeline_stages"].insert_one({"account_id": value})

    report = await create_indexes(app.database, app.collections)

    assert [str(problem).split(":")[0] for problem in report.problems] == [STAGE_INDEX]
    assert await missing_indexes(app.database, app.collections) == [STAGE_INDEX]


async def test_a_dropped_collection_gets_its_indexes_back(app: EngineApp, checking: WakeUp) -> None:
    for collection in ("pipeline_stages", "import_chunks"):
        await app.database.drop_collection(collection)

    async def complete() -> bool:
        return await missing_indexes(app.database, app.collections) == []

    await eventually(complete, "the indexes are back", 10)


async def test_what_clashes_is_logged_once_until_it_is_mended(said: Said, app: EngineApp, checking: WakeUp) -> None:
    ids = await plant_twins(app, "pipeline_stages")
    for _ in range(3):
        checking()
        await eventually(lambda: "index.not_created" in said(), "the clash is logged", 10)

    assert said().count("index.not_created") == 1
    assert str(ids[0]) in said()
    await app.database["pipeline_stages"].delete_one({"_id": ids[0]})
    checking()
    await eventually(lambda: "indexes.created" in said() and STAGE_INDEX in said(), "the index is created", 10)


async def test_without_the_index_two_daemons_make_each_stage_once(
    world: World, configured: Settings, app: EngineApp
) -> None:
    await app.database["pipeline_stages"].drop_indexes()
    names = [f"stage {number}" for number in range(40)]

    async def ask(stages: Stages, name: str) -> ObjectId:
        return await stages.find_or_create(world.account, world.pipeline, name_key(name), name, world.user)

    async with open_app(configured) as other:
        asked = [ask(one.repos.stages, name) for name in names for one in (app, other, app, other)]
        ids = await asyncio.gather(*asked)

    assert world.db["pipeline_stages"].count_documents({}) == len(names)
    assert len(set(ids)) == len(names)


async def test_a_stage_that_the_crm_moved_elsewhere_stands_in_no_ones_way(world: World, app: EngineApp) -> None:
    ask = app.repos.stages.find_or_create
    first = await ask(world.account, world.pipeline, "won", "won", world.user)
    world.db["pipeline_stages"].update_one({"_id": first}, {"$set": {"pipeline_id": ObjectId()}})

    second = await ask(world.account, world.pipeline, "won", "won", world.user)

    assert second != first
    assert await ask(world.account, world.pipeline, "won", "won", world.user) == second
