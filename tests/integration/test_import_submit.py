"""The manual trigger: a file and what it means become a queued import, or a clear refusal that leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from bson import ObjectId

from pipeline_engine import failpoints
from pipeline_engine.domain.imports.control import retry
from pipeline_engine.domain.imports.explain import explain
from pipeline_engine.domain.imports.refusal import ImportRefused
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.errors import Transient
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import SAMPLE, SAMPLE_MAPPINGS, World


async def blocks() -> AsyncIterator[bytes]:
    yield SAMPLE[:50].encode()
    yield SAMPLE[50:].encode()


@contextmanager
def upload_that(do: str) -> Iterator[None]:
    """Every upload is carried out; then its caller gets an error (`raise`) or no answer (`hang`)."""
    failpoints.arm(f'{{"failpoint": "s3.put", "when": "after", "do": "{do}"}}', None)
    try:
        yield
    finally:
        failpoints.disarm()


async def crash_after_upload(world: World, app: EngineApp, wanted: NewImport) -> ObjectId:
    """Submit, and stop where a kill would: the object is there, and nothing after it has run. Returns the import's id,
    as the key of the object says it."""
    prefix = f"imports/{world.account}/"

    async def uploaded() -> list[str]:
        return world.keys(prefix)

    with upload_that("hang"):
        submission = asyncio.create_task(submit(app, wanted, blocks()))
        (key,) = await eventually(uploaded, "the file is uploaded")
        submission.cancel()
        await asyncio.gather(submission, return_exceptions=True)
    return ObjectId(key.removeprefix(prefix).removesuffix(".csv"))


@pytest.fixture
def wanted(world: World) -> NewImport:
    ids = (world.account, world.user, world.pipeline)
    return NewImport(*ids, mappings=SAMPLE_MAPPINGS, tags=["imported", "q4-2025"], name="deals.csv")


@pytest.mark.covers("DI-03", "DI-04")
async def test_what_is_submitted_is_imported(
    world: World, app: EngineApp, run_imports: RunImports, wanted: NewImport
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
    world: World, app: EngineApp, wanted: NewImport, fault: dict[str, dict[str, str]]
) -> None:
    with pytest.raises(ImportRefused, match="mapp"):
        await submit(app, replace(wanted, mappings=fault["mappings"]), blocks())

    assert list(world.db["queues"].find()) == []
    assert world.keys(f"imports/{world.account}/") == []


async def test_a_foreign_pipeline_is_refused_and_nothing_is_stored(
    world: World, app: EngineApp, wanted: NewImport
) -> None:
    neighbour = world.neighbour()
    neighbour.close()

    with pytest.raises(ImportRefused, match="pipelines of another account"):
        await submit(app, replace(wanted, pipeline_id=neighbour.pipeline), blocks())

    assert list(world.db["queues"].find()) == []
    assert world.keys(f"imports/{world.account}/") == []


async def test_two_submissions_of_one_file_are_two_imports(world: World, app: EngineApp, wanted: NewImport) -> None:
    first, second = [await submit(app, wanted, blocks()) for _ in range(2)]

    assert first != second
    assert {queue["_id"] for queue in world.db["queues"].find({"account_id": ObjectId(world.account)})} == {
        first,
        second,
    }


async def test_a_crash_after_the_upload_leaves_a_document_that_names_the_object(
    world: World, app: EngineApp, run_imports: RunImports, wanted: NewImport
) -> None:
    queue_id = await crash_after_upload(world, app, wanted)

    queue = world.import_of(queue_id)
    assert queue["status"] == "uploading"
    assert world.keys(f"imports/{world.account}/") == [queue["csv"][0]["key"]]
    assert (await explain(app, queue_id)).next.what == "waits"
    assert (await run_imports()).units == 0


async def test_an_upload_that_never_ended_fails_a_day_later_and_may_be_retried(
    world: World, app: EngineApp, run_imports: RunImports, wanted: NewImport
) -> None:
    crashed = await crash_after_upload(world, app, wanted)
    await submit(app, wanted, blocks())
    assert world.import_of(crashed)["status"] == "uploading"
    yesterday = app.clock.now() - timedelta(days=1, minutes=1)
    world.db["queues"].update_one({"_id": crashed}, {"$set": {"createdAt": yesterday}})

    await submit(app, wanted, blocks())
    assert (world.import_of(crashed)["status"], world.import_of(crashed)["error"]) == (
        "failed",
        "the upload of its file never ended",
    )

    await retry(app, crashed)
    await run_imports()
    assert world.import_of(crashed)["status"] == "completed"
    assert len(world.deals_of(crashed)) == 3


async def test_an_upload_that_fails_makes_the_import_failed(
    world: World, app: EngineApp, run_imports: RunImports, wanted: NewImport
) -> None:
    with upload_that("raise"), pytest.raises(Transient):
        await submit(app, wanted, blocks())

    (queue,) = world.db["queues"].find()
    assert queue["status"] == "failed"
    assert queue["error"].startswith("the upload of its file failed: ")
    assert set(world.keys(f"imports/{world.account}/")) <= {queue["csv"][0]["key"]}
    assert (await run_imports()).units == 0
