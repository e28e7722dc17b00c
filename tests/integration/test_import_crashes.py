"""Imports whose process dies: three deaths without progress end the import, and rows that get in forgive them."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.lanes import Snooze
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.whole_import import FILE, MAPPINGS, assert_whole
from tests.support.world import World


def die(world: World, queue_id: ObjectId, crashes: int) -> None:
    """Let the process of an import have just died, after `crashes` others."""
    run = {"status": "processing", "attempts": 1, "crashes": crashes, "token": crashes, "in_progress": True}
    world.abandon("queues", queue_id, **run)


@pytest.mark.covers("DI-X2")
async def test_an_import_that_took_three_processes_down_is_given_up(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    die(world, queue_id, 2)

    result = await run_imports()

    failed = world.import_of(queue_id)
    assert (result.failed, failed["status"], failed["in_progress"]) == (1, "failed", False)
    assert "3 processes" in failed["error"]
    assert world.report_of(queue_id)["error"] == failed["error"]


async def test_two_deaths_are_forgiven_once_rows_get_in(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    die(world, queue_id, 1)

    await run_imports()

    assert_whole(world, queue_id)
    assert world.import_of(queue_id)["crashes"] == 0


async def test_rows_that_got_in_before_a_death_do_not_forgive_it(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    """Else an import that kills its process at row 100,001 would kill processes for ever."""
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports(import_chunk_rows=20)
    world.db["import_chunks"].delete_many({"queue_id": queue_id, "n": {"$gte": 10}})
    die(world, queue_id, 1)
    desk = ImportCache()
    app.stopping.set()

    assert await run_import(app, desk, queue_id) == Snooze()

    assert world.import_of(queue_id)["crashes"] == 2
