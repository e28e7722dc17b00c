"""Indexes: made once, and never in the way of what the CRM writes itself."""

from __future__ import annotations

import pytest

from pipeline_engine.app import App
from pipeline_engine.repos.indexes import INDEXES, create_indexes, missing_indexes
from tests.world import World

CRM_WRITES = ("queues", "deals", "pipeline_stages", "csv_imports", "crm_events")


async def test_making_them_again_changes_nothing(app: App) -> None:
    before = {name: await app.database[name].index_information() for name in INDEXES}

    await create_indexes(app.database)

    assert {name: await app.database[name].index_information() for name in INDEXES} == before
    assert await missing_indexes(app.database) == []


async def test_what_is_missing_is_told(app: App) -> None:
    await app.database["outbox"].drop_index("state_1_next_at_1")

    assert await missing_indexes(app.database) == ["outbox.state_1_next_at_1"]


@pytest.mark.parametrize("collection", CRM_WRITES)
def test_on_collections_of_the_crm_unique_and_ttl_indexes_are_partial(collection: str) -> None:
    for model in INDEXES.get(collection, []):
        options = model.document
        if options.get("unique") or "expireAfterSeconds" in options:
            assert "partialFilterExpression" in options, options["name"]


async def test_documents_of_the_crm_that_are_alike_break_no_index(world: World, app: App) -> None:
    alike = {"account_id": world.account, "pipeline_id": world.pipeline, "name": "Won"}
    world.db["pipeline_stages"].insert_many([dict(alike), dict(alike)])
    await app.database["pipeline_stages"].drop_indexes()

    await create_indexes(app.database)

    assert await missing_indexes(app.database) == []
