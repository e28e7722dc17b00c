"""The manual trigger: a file and what it means become a queued import, or a clear refusal that leaves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.submit import NewImport, submit
from tests.integration.conftest import RunImports
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World


async def blocks() -> AsyncIterator[bytes]:
    yield SAMPLE[:50].encode()
    yield SAMPLE[50:].encode()


@pytest.fixture
def wanted(world: World) -> NewImport:
    ids = (world.account, world.user, world.pipeline)
    return NewImport(*ids, mappings=SAMPLE_MAPPINGS, tags=["imported", "q4-2025"], name="deals.csv")


@pytest.mark.covers("DI-03", "DI-04")
async def test_what_is_submitted_is_imported(
    world: World, app: App, run_imports: RunImports, wanted: NewImport
) -> None:
    queue_id = await submit(app, wanted, blocks())

    queue = world.import_of(queue_id)
    key = f"imports/{world.account}/{queue_id}.csv"
    assert (queue["source"], queue["status"], queue["in_progress"]) == ("deals", "pending", False)
    assert queue["csv"] == [{"key": key, "name": "deals.csv"}]
    assert world.download(key).decode() == SAMPLE
    result = await run_imports()
    assert result.succeeded == 1
    assert [deal["tags"] for deal in world.deals_of(queue_id)] == [["imported", "q4-2025"]] * 3


@pytest.mark.covers("DI-22")
@pytest.mark.parametrize("fault", [{"mappings": {"Deal Name": "account_id"}}, {"mappings": {}}], ids=str)
async def test_a_wrong_mapping_is_refused_and_nothing_is_stored(
    world: World, app: App, wanted: NewImport, fault: dict[str, dict[str, str]]
) -> None:
    with pytest.raises(ImportRefused, match="mapp"):
        await submit(app, replace(wanted, mappings=fault["mappings"]), blocks())

    assert list(world.db["queues"].find()) == []
    assert world.keys(f"imports/{world.account}/") == []


async def test_a_foreign_pipeline_is_refused_and_nothing_is_stored(world: World, app: App, wanted: NewImport) -> None:
    neighbour = world.neighbour()
    neighbour.close()

    with pytest.raises(ImportRefused, match="pipelines of another account"):
        await submit(app, replace(wanted, pipeline_id=neighbour.pipeline), blocks())

    assert list(world.db["queues"].find()) == []
    assert world.keys(f"imports/{world.account}/") == []


async def test_two_submissions_of_one_file_are_two_imports(world: World, app: App, wanted: NewImport) -> None:
    first, second = [await submit(app, wanted, blocks()) for _ in range(2)]

    assert first != second
    assert {queue["_id"] for queue in world.db["queues"].find({"account_id": ObjectId(world.account)})} == {
        first,
        second,
    }
