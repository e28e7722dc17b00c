"""Indexes: made once, and never in the way of what the CRM writes itself."""

from __future__ import annotations

import pytest
from pymongo.errors import BulkWriteError

from pipeline_engine import settings, workers
from pipeline_engine.repos.indexes import create_indexes, missing_indexes
from tests.support.engine_app import EngineApp
from tests.support.world import World

SPECS = workers.collections(settings.load(_env_file=None))
INDEXES = {spec.name: spec.indexes for spec in SPECS}


async def test_making_them_again_changes_nothing(app: EngineApp) -> None:
    before = {name: await app.database[name].index_information() for name in INDEXES}

    await create_indexes(app.database, app.collections)

    assert {name: await app.database[name].index_information() for name in INDEXES} == before
    assert await missing_indexes(app.database, app.collections) == []


async def test_what_is_missing_is_reported(app: EngineApp) -> None:
    await app.database["outbox"].drop_index("state_1_next_at_1")

    assert await missing_indexes(app.database, app.collections) == ["outbox.state_1_next_at_1"]


async def test_documents_of_the_crm_that_are_alike_break_no_index(world: World, app: EngineApp) -> None:
    alike = {"account_id": world.account, "pipeline_id": world.pipeline, "name": "Won"}
    world.db["pipeline_stages"].insert_many([dict(alike), dict(alike)])
    await app.database["pipeline_stages"].drop_indexes()

    await create_indexes(app.database, app.collections)

    assert await missing_indexes(app.database, app.collections) == []


async def test_indexes_that_the_crm_has_of_its_own_are_used_and_not_made_again(app: EngineApp) -> None:
    for name in ("forms", "funnel.step.components", "sites_images"):
        await app.database[name].drop_indexes()
    await app.database["forms"].create_index("form_secret_id", unique=True)
    await app.database["funnel.step.components"].create_index("step_id", name="theirs", sparse=True)
    await app.database["sites_images"].create_index([("ref_id", 1), ("origin", 1)])

    await create_indexes(app.database, app.collections)

    assert await missing_indexes(app.database, app.collections) == []
    forms = await app.database["forms"].index_information()
    assert set(forms) == {"_id_", "form_secret_id_1", "clone_form", "google_sheet"}
    components = await app.database["funnel.step.components"].index_information()
    assert set(components) == {"_id_", "theirs", "clone_components"}
    assert set(await app.database["sites_images"].index_information()) == {"_id_", "ref_id_1_origin_1", "clone_image"}


async def test_documents_of_the_crm_may_be_alike_where_clones_may_not(world: World, app: EngineApp) -> None:
    for name, field in (("funnel.step", "original_step_id"), ("sites_images", "source_key"), ("forms", "name")):
        alike = {"funnel_id": world.account, "ref_id": world.account, "step_id": world.account, field: 1}
        world.db[name].insert_many([dict(alike), dict(alike)])
        with pytest.raises(BulkWriteError):
            world.db[name].insert_many([{**alike, "clone_id": 1, "source_form_id": 1} for _ in range(2)])
