"""Whatever is done twice, or breaks off in the middle, every row ends as one deal or one error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.control import retry
from pipeline_engine.domain.imports.deal import deal_id
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.domain.imports.rows import run_chunk
from pipeline_engine.settings import Settings
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp, open_app
from tests.support.whole_import import BAD, FILE, MAPPINGS, ROWS, assert_whole
from tests.support.world import SAMPLE, Document, World


def fault(failpoint: str, nth: int, when: str = "before") -> dict[str, Any]:
    """Settings under which the n-th call of a failpoint fails; with `after`, its answer gets lost."""
    plan = {"failpoint": failpoint, "do": "raise", "when": when, "nth": nth}
    return {"fault_testing": True, "fault_plan": json.dumps(plan), "import_retry_seconds": 0.05}


def set_back(world: World, queue_id: ObjectId, chunks: Document) -> None:
    """As if the process had died before it could write down that these chunks, and so the import, had ended."""
    gone = {"$set": {"state": "open"}, "$unset": {"created": "", "failed": "", "errors": ""}}
    world.db["import_chunks"].update_many({"queue_id": queue_id, **chunks}, gone)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "processing"}})


async def test_a_chunk_whose_job_comes_twice_is_done_once(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports()
    before = world.deals_of(queue_id)

    assert await run_chunk(app, ImportCache(), f"{queue_id}:0") is None
    assert await run_import(app, ImportCache(), queue_id) is None

    assert world.deals_of(queue_id) == before
    assert_whole(world, queue_id)


@pytest.mark.covers("DI-X3", "DI-X7", "R-22")
@pytest.mark.parametrize("chunks", [{}, {"n": {"$gte": 3}}, {"n": 0}], ids=["all", "some", "one"])
async def test_rows_whose_chunk_was_not_written_down_as_done_are_not_doubled(
    world: World, run_imports: RunImports, chunks: Document
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports(import_chunk_rows=50)
    before = world.deals_of(queue_id)
    set_back(world, queue_id, chunks)

    await run_imports(import_chunk_rows=50)

    assert world.deals_of(queue_id) == before
    assert_whole(world, queue_id)
    assert world.import_of(queue_id)["attempts"] == 1


async def test_rows_that_a_user_has_edited_since_stay_as_they_are(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports(import_chunk_rows=50)
    world.db["deals"].update_one({"import_id": queue_id, "import_row": 1}, {"$set": {"name": "Edited by hand"}})
    set_back(world, queue_id, {})

    await run_imports()

    assert world.deals_of(queue_id)[0]["name"] == "Edited by hand"
    assert_whole(world, queue_id)


async def test_a_stranger_with_the_same_id_stays_and_the_row_gets_another(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.queue("later.csv", MAPPINGS)
    strangers: list[Document] = [
        {"_id": deal_id(queue_id, 1), "name": "foreign", "account_id": ObjectId()},
        {"_id": deal_id(queue_id, 2), "name": "of another import", "import_id": ObjectId(), "import_row": 2},
        {"_id": deal_id(queue_id, 3), "name": "of another row", "import_id": queue_id, "import_row": 77_000},
    ]
    world.db["deals"].insert_many(strangers)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"csv": [{"key": world.upload("later.csv", FILE)}]}})

    await run_imports(import_chunk_rows=50)

    names = [deal["name"] for deal in world.db["deals"].find({"_id": {"$in": [one["_id"] for one in strangers]}})]
    assert sorted(names) == sorted(one["name"] for one in strangers)
    world.db["deals"].delete_one({"import_row": 77_000})
    assert_whole(world, queue_id)
    assert [world.deals_of(queue_id)[row]["_id"] for row in range(3)] == [deal_id(queue_id, n, 1) for n in (1, 2, 3)]

    before = world.deals_of(queue_id)
    world.db["deals"].insert_one(strangers[2])
    set_back(world, queue_id, {"n": 0})
    await run_imports(import_chunk_rows=50)
    world.db["deals"].delete_one({"import_row": 77_000})

    assert world.deals_of(queue_id) == before
    assert_whole(world, queue_id)


BREAKS = {
    "while the file is opened": ("s3.head", 1, "before"),
    "while the file is read": ("s3.get", 2, "before"),
    "while chunks are written down": ("mongo.import_chunks.insert_many", 3, "before"),
    "after chunks were written down": ("mongo.import_chunks.insert_many", 3, "after"),
    "before rows are inserted": ("mongo.deals.insert_many", 4, "before"),
    "after rows were inserted": ("mongo.deals.insert_many", 4, "after"),
    "before a chunk is ended": ("mongo.import_chunks.update_one", 4, "before"),
    "after a chunk was ended": ("mongo.import_chunks.update_one", 4, "after"),
    "before a stage is made": ("mongo.pipeline_stages.find_one_and_update", 1, "before"),
    "after a stage was made": ("mongo.pipeline_stages.find_one_and_update", 1, "after"),
    "while the error CSV is written": ("s3.put", 1, "before"),
    "after the error CSV was written": ("s3.put", 1, "after"),
    "before the report": ("mongo.csv_imports.update_one", 1, "before"),
    "after the report": ("mongo.csv_imports.update_one", 1, "after"),
}


@pytest.mark.covers("DI-11", "DI-X3", "DI-X7")
@pytest.mark.parametrize(("failpoint", "nth", "when"), BREAKS.values(), ids=BREAKS)
async def test_a_call_that_fails_on_the_way_costs_an_attempt_and_no_row(
    world: World, run_imports: RunImports, tmp_path: Path, failpoint: str, nth: int, when: str
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    passed = tmp_path / "failpoints"

    result = await run_imports(
        import_chunk_rows=20, import_chunks_ahead=2, fault_log=str(passed), **fault(failpoint, nth, when)
    )

    assert (result.succeeded, result.failed, result.busy) == (1, 0, 0)
    assert_whole(world, queue_id)
    assert f"{failpoint} {nth} before" in passed.read_text()


async def test_an_import_given_up_half_way_reports_what_it_has_and_a_retry_does_the_rest(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    broken = fault("mongo.import_chunks.insert_many", 5)

    # Most chunks are cut, and wait for their row jobs, when the last go fails.
    result = await run_imports(import_attempts=1, import_chunk_rows=5, import_chunks_ahead=1_000, **broken)

    failed = world.import_of(queue_id)
    assert (result.failed, failed["status"], failed["in_progress"]) == (1, "failed", False)
    added = len(world.deals_of(queue_id))
    assert 0 < added < ROWS - BAD
    assert world.report_of(queue_id)["total_records_added"] == failed["progress"]["rows_added"] == added
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": "open"}) == 0

    await retry(app, queue_id)
    again = await run_imports(import_chunk_rows=20)

    assert again.succeeded == 1
    assert_whole(world, queue_id)


async def test_chunks_that_cannot_be_written_fail_the_import_with_their_rows_and_the_errors_of_the_others(
    world: World, configured: Settings, run_imports: RunImports
) -> None:
    world.demand("pipeline_stages", {"name": {"$ne": "cursed"}})
    bad, good = "Bad,1,\n" * 10, "Good,1,cursed\n" * 10
    queue_id = world.submit("name,value,stage\n" + bad + good + bad, MAPPINGS)

    result = await run_imports(import_chunk_rows=10, import_retry_seconds=0.05)

    failed = world.import_of(queue_id)
    assert (result.failed, failed["status"], failed["attempts"]) == (1, "failed", 1)
    assert failed["error"].startswith("rows from 11 on could not be written")
    chunks = list(world.db["import_chunks"].find({"queue_id": queue_id}, sort=[("n", 1)]))
    assert [(chunk["state"], chunk["attempts"]) for chunk in chunks] == [("done", 1), ("failed", 3), ("done", 1)]
    assert [int(row["_row"]) for row in world.error_csv_of(queue_id)] == [*range(1, 11), *range(21, 31)]

    world.db.command("collMod", "pipeline_stages", validator={})
    async with open_app(configured) as app:
        await retry(app, queue_id)
    await run_imports(import_chunk_rows=10)

    assert world.import_of(queue_id)["status"] == "completed"
    assert len(world.deals_of(queue_id)) == 10
    assert world.report_of(queue_id)["total_errors"] == 20


@pytest.mark.parametrize("file", [FILE, "name,value,stage\n"], ids=["rows", "header only"])
async def test_an_import_that_died_after_deleting_its_file_ends_well(
    world: World, run_imports: RunImports, file: str
) -> None:
    queue_id = world.submit(file, MAPPINGS, options={"delete_csv": True})
    await run_imports()
    first = world.report_of(queue_id)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "processing"}})

    result = await run_imports()

    assert result.succeeded == 1
    again = world.report_of(queue_id)
    assert {**again, "updatedAt": None} == {**first, "updatedAt": None}


async def test_a_file_replaced_between_two_attempts_is_read_anew_as_long_as_no_row_is_in(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit("name;value;stage\nOld;1;won\n", MAPPINGS)
    await run_imports(import_attempts=1, **fault("mongo.import_chunks.insert_many", 1))
    assert world.import_of(queue_id)["dialect"]["delimiter"] == ";"
    world.upload(world.import_of(queue_id)["csv"][0]["key"], FILE)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "pending"}})

    await run_imports()

    assert_whole(world, queue_id)


async def test_a_file_replaced_after_some_rows_are_in_is_refused(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports(import_chunk_rows=20)
    world.db["import_chunks"].delete_many({"queue_id": queue_id, "n": {"$gte": 10}})
    world.upload(world.import_of(queue_id)["csv"][0]["key"], SAMPLE)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "pending"}})

    await run_imports()

    failed = world.import_of(queue_id)
    assert (failed["status"], failed["attempts"]) == ("failed", 2)
    assert "replaced" in failed["error"]
