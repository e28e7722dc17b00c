"""An import sees and touches its own account's documents only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from tests.integration.conftest import RunImports
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, Document, World


@pytest.fixture
def neighbour(world: World) -> Iterator[World]:
    neighbour = world.neighbour()
    yield neighbour
    neighbour.close()


def owned(world: World, collection: str, **fields: Any) -> ObjectId:
    """Insert a document of the world's account."""
    return ObjectId(world.db[collection].insert_one({"account_id": world.account, **fields}).inserted_id)


def everything_of(world: World) -> dict[str, list[Document]]:
    """All documents that bear the account, by collection."""
    ours: Document = {"$or": [{"account_id": world.account}, {"account": world.account}, {"_id": world.account}]}
    names = sorted(world.db.list_collection_names())
    return {name: list(world.db[name].find(ours, sort=[("_id", 1)])) for name in names}


async def assert_refused(world: World, run_imports: RunImports, queue_id: ObjectId, *words: str) -> None:
    await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["in_progress"], failed["attempts"]) == ("failed", False, 1)
    assert all(word in failed["error"] for word in words), failed["error"]
    assert list(world.db["deals"].find()) == []
    assert list(world.db["pipeline_stages"].find()) == []


@pytest.mark.parametrize("spelled", [ObjectId, str])
@pytest.mark.covers("DI-22")
async def test_a_foreign_pipeline_is_refused(
    world: World, neighbour: World, run_imports: RunImports, spelled: type[Any]
) -> None:
    queue_id = world.submit(SAMPLE, options={"pipeline_id": spelled(neighbour.pipeline)})

    await assert_refused(world, run_imports, queue_id, "pipelines of another account", str(neighbour.pipeline))


async def test_a_foreign_user_is_refused(world: World, neighbour: World, run_imports: RunImports) -> None:
    queue_id = world.submit(SAMPLE, user_id=neighbour.user)

    await assert_refused(world, run_imports, queue_id, "users of another account", str(neighbour.user))


@pytest.mark.covers("DI-22", "DI-24")
async def test_a_foreign_custom_field_is_refused(world: World, neighbour: World, run_imports: RunImports) -> None:
    field = owned(neighbour, "custom_fields")
    queue_id = world.submit(SAMPLE, SAMPLE_MAPPINGS | {"Status": str(field)})

    await assert_refused(world, run_imports, queue_id, "custom_fields of another account", str(field))


async def test_a_foreign_tag_is_refused(world: World, neighbour: World, run_imports: RunImports) -> None:
    tag = owned(neighbour, "tags", name="vip")
    queue_id = world.submit(SAMPLE, options={"tags": ["fine", str(tag)]})

    await assert_refused(world, run_imports, queue_id, "tags of another account", str(tag))


async def test_own_references_pass_however_they_are_spelled(world: World, run_imports: RunImports) -> None:
    field, tag = owned(world, "custom_fields"), owned(world, "tags")
    world.db["custom_fields"].insert_one({"_id": "f" * 24, "account_id": str(world.account)})
    mappings = SAMPLE_MAPPINGS | {"Status": str(field), "Contact Name": "f" * 24}
    queue_id = world.submit(SAMPLE, mappings, options={"tags": [tag]})

    result = await run_imports()

    assert result.succeeded == 1
    assert world.deals_of(queue_id)[0]["additional_info"] == {str(field): "open", "f" * 24: "John Doe"}


async def test_an_inactive_account_imports_nothing(world: World, run_imports: RunImports) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}})
    queue_id = world.submit(SAMPLE)

    await assert_refused(world, run_imports, queue_id, "not active")


async def test_an_account_that_the_crm_does_not_keep_is_believed(world: World, run_imports: RunImports) -> None:
    world.db["_accounts"].delete_many({})
    world.submit(SAMPLE)

    result = await run_imports()

    assert result.succeeded == 1


async def test_stages_of_another_account_are_not_used(world: World, neighbour: World, run_imports: RunImports) -> None:
    """Not even in a pipeline of the same id."""
    foreign = owned(neighbour, "pipeline_stages", name="qualified", pipeline_id=world.pipeline, name_key="qualified")
    queue_id = world.submit(SAMPLE)

    await run_imports()

    stages = {deal["stage_id"] for deal in world.deals_of(queue_id)}
    assert foreign not in stages
    assert world.db["pipeline_stages"].count_documents({"_id": {"$in": list(stages)}, "account_id": world.account}) == 3


async def test_the_neighbours_documents_are_the_same_bytes_afterwards(
    world: World, neighbour: World, run_imports: RunImports
) -> None:
    neighbour.submit(SAMPLE)
    await run_imports()
    owned(neighbour, "pipeline_stages", name="Won ", pipeline_id=neighbour.pipeline)
    before = everything_of(neighbour)
    world.submit(SAMPLE + "Bad,1\n", options={"pipeline_id": world.pipeline})

    await run_imports()

    after = everything_of(neighbour)
    assert {name: after[name] for name in before} == before
    assert len(before["deals"]) == 3
    assert len(everything_of(world)["deals"]) == 3
