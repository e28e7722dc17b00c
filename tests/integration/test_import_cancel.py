"""A user who does not want the rest gets none of it, and figures that are true; who wants it after all gets it."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.control import cancel, retry
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import SAMPLE, World

ROWS = 600
FILE = "name,stage\n" + "".join(f"Deal {n},{'' if n % 100 == 7 else 'won'}\n" for n in range(ROWS))
BAD = ROWS // 100
MAPPINGS = {"name": "name", "stage": "stage_id"}


async def rows_in(world: World, queue_id: ObjectId) -> int:
    return world.db["deals"].count_documents({"import_id": queue_id})


def assert_true_figures(world: World, queue_id: ObjectId, status: str) -> None:
    ended, report = world.import_of(queue_id), world.report_of(queue_id)
    added = len(world.deals_of(queue_id))
    assert (ended["status"], ended["in_progress"], ended["lease_until"]) == (status, False, None)
    assert ended["progress"]["rows_added"] == report["total_records_added"] == added
    errors = len(world.error_csv_of(queue_id)) if report["error_csv_key"] else 0
    assert ended["progress"]["rows_failed"] == report["total_errors"] == errors
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": "open"}) == 0


async def test_a_pending_import_is_cancelled_before_it_begins(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(SAMPLE)
    assert await cancel(app, queue_id) == "pending"

    result = await run_imports()

    assert (result.units, result.failed) == (1, 1)
    assert world.deals_of(queue_id) == []
    ended, report = world.import_of(queue_id), world.report_of(queue_id)
    assert (ended["status"], ended["in_progress"], ended["error"]) == ("cancelled", False, None)
    assert (report["total_records_added"], report["total_errors"]) == (0, 0)


async def test_a_running_import_stops_within_a_chunk_and_a_retry_brings_the_rest(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    running = asyncio.create_task(run_imports(import_chunk_rows=3))
    await eventually(partial(rows_in, world, queue_id), "the first rows are in")

    assert await cancel(app, queue_id) == "processing"
    asked = time.monotonic()
    rows_when_asked = await rows_in(world, queue_id)
    result = await running

    assert time.monotonic() - asked < 10
    assert result.failed == 1
    assert_true_figures(world, queue_id, "cancelled")
    # Eight row jobs run at once, and each may end its chunk.
    assert len(world.deals_of(queue_id)) <= rows_when_asked + 8 * 3 + 3
    cancelled = world.deals_of(queue_id)

    await retry(app, queue_id)
    again = await run_imports()

    assert again.succeeded == 1
    assert_true_figures(world, queue_id, "completed")
    rows = [deal["import_row"] for deal in world.deals_of(queue_id)]
    wrong = [int(row["_row"]) for row in world.error_csv_of(queue_id)]
    assert sorted(rows + wrong) == list(range(1, ROWS + 1))
    assert len(wrong) == BAD
    kept = {deal["import_row"] for deal in cancelled}
    assert [deal for deal in world.deals_of(queue_id) if deal["import_row"] in kept] == cancelled


async def test_both_endings_are_sent_and_only_the_completion_to_the_crm(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(SAMPLE)
    await cancel(app, queue_id)
    await run_imports()
    await retry(app, queue_id)
    await run_imports()

    finished = list(world.db["outbox"].find({"event": "import_finished"}, sort=[("_id", 1)]))
    assert [message["data"]["status"] for message in finished] == ["cancelled", "completed"]
    (event,) = world.db["crm_events"].find()
    assert (event["type"], event["data"]["status"]) == ("import.completed", "completed")


@pytest.mark.covers("DI-X10")
async def test_rows_that_a_dead_run_got_in_count_when_the_rest_is_cancelled(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports(import_chunk_rows=100)
    # As if the process had died in the middle of chunk 3: some of its rows are in, and its lease has run out.
    third = {"queue_id": queue_id, "n": 3}
    world.db["import_chunks"].update_one(third, {"$unset": {"created": "", "failed": "", "errors": ""}})
    world.abandon("import_chunks", f"{queue_id}:3", state="open")
    world.db["deals"].delete_many({"import_id": queue_id, "import_row": {"$gt": 350}})
    world.db["import_chunks"].delete_many({"queue_id": queue_id, "n": {"$gt": 3}})
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "processing", "cancel_requested": True}})

    await run_imports(import_chunk_rows=100)

    assert_true_figures(world, queue_id, "cancelled")
    assert len(world.deals_of(queue_id)) == 297 + 49
