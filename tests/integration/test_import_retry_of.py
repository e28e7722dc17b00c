"""A corrected error CSV with `retry_of` imports just its rows, under their first numbers, and none twice."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.domain.imports.control import retry
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import World

MAPPINGS = {"Deal": "name", "Stage": "stage_id"}
FILE = "Deal,Stage\nOne,won\nTwo,\nThree,won\nFour,\nFive,\n"


async def first_import(world: World, run_imports: RunImports) -> tuple[ObjectId, str]:
    """The import of FILE, and the text of its error CSV: rows 2, 4 and 5."""
    queue_id = world.submit(FILE, MAPPINGS)
    await run_imports()
    return queue_id, world.download(world.import_of(queue_id)["error_csv_key"]).decode()


def corrected(text: str, *names: str) -> str:
    for name in names:
        text = text.replace(f'"{name}",""', f'"{name}","won"')
    return text


def figures(world: World, queue_id: ObjectId) -> list[int]:
    progress = world.import_of(queue_id)["progress"]
    return [progress[f"rows_{name}"] for name in ("read", "added", "skipped", "failed")]


async def test_the_rows_come_in_under_their_numbers(world: World, run_imports: RunImports) -> None:
    first, text = await first_import(world, run_imports)

    second = world.submit(corrected(text, "Two", "Five"), MAPPINGS, options={"retry_of": first})
    await run_imports(import_chunk_rows=2)

    assert world.import_of(second)["status"] == "completed"
    assert figures(world, second) == [3, 2, 0, 1]
    assert [(deal["import_row"], deal["name"], deal["retry_of"]) for deal in world.deals_of(second)] == [
        (2, "Two", first),
        (5, "Five", first),
    ]
    (error,) = world.error_csv_of(second)
    assert list(error) == ["Deal", "Stage", "_row", "_line", "_column", "_code", "_message"]
    assert (error["_row"], error["_column"]) == ("4", "Stage")


async def test_a_row_that_is_in_already_is_skipped_whichever_import_brought_it(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    first, text = await first_import(world, run_imports)
    second = world.submit(corrected(text, "Two"), MAPPINGS, options={"retry_of": first})
    await run_imports()
    row_one = '"One","won","1","2","","",""\r\n'

    third = world.submit(corrected(text, "Two", "Four") + row_one, MAPPINGS, options={"retry_of": str(second)})
    await run_imports()

    assert figures(world, third) == [4, 1, 2, 1]
    assert [deal["import_row"] for deal in world.deals_of(third)] == [4]
    # The first import, taken up again with its bad rows corrected, finds them in as well.
    fixed = FILE.replace(",\n", ",won\n")
    world.db["queues"].update_one({"_id": first}, {"$set": {"status": "failed"}})
    world.db["import_chunks"].update_many({"queue_id": first}, {"$set": {"state": "failed"}})
    world.upload(world.import_of(first)["csv"][0]["key"], fixed)
    await retry(app, first)
    await run_imports()
    assert world.import_of(first)["status"] == "completed"
    assert figures(world, first) == [5, 3, 2, 0]
    assert sorted(deal["name"] for deal in world.db["deals"].find()) == ["Five", "Four", "One", "Three", "Two"]


async def test_a_number_that_is_none_or_stands_twice_is_a_row_error(world: World, run_imports: RunImports) -> None:
    first, _ = await first_import(world, run_imports)
    rows = ["Two,won,2", "Again,won,2", "Odd,won,x", "None,won,", "Four,won,4", "Later,won,2"]

    second = world.submit("\n".join(["Deal,Stage,_row", *rows]), MAPPINGS, options={"retry_of": first})
    await run_imports(import_chunk_rows=5)

    assert figures(world, second) == [6, 2, 0, 4]
    logs = world.report_of(second)["logs"]
    assert {log["code"] for log in logs} == {"retry_row"}
    lines = sorted(log["line"] for log in logs)
    assert lines in ([3, 4, 5, 7], [2, 3, 4, 5])  # whichever chunk came first


async def test_a_chunk_that_runs_again_counts_its_own_deals(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    first, text = await first_import(world, run_imports)
    second = world.submit(corrected(text, "Two", "Four"), MAPPINGS, options={"retry_of": first})
    await run_imports()
    before = world.deals_of(second)
    again = {"$set": {"state": "open"}, "$unset": {"created": "", "failed": "", "errors": ""}}
    world.db["import_chunks"].update_many({"queue_id": second}, again)
    world.db["queues"].update_one({"_id": second}, {"$set": {"status": "processing"}})

    await run_imports()

    assert (figures(world, second), world.deals_of(second)) == ([3, 2, 0, 1], before)
    # Cancelled between its deals and its end, it counts them without reading the file.
    world.db["import_chunks"].update_many({"queue_id": second}, again)
    world.db["queues"].update_one({"_id": second}, {"$set": {"status": "processing", "cancel_requested": True}})
    await run_imports()
    assert world.import_of(second)["status"] == "cancelled"
    assert figures(world, second)[1] == 2


async def test_what_cannot_be_a_correction_is_refused(world: World, run_imports: RunImports) -> None:
    first, text = await first_import(world, run_imports)
    waiting = world.queue("none.csv")
    neighbour = world.neighbour()
    foreign = neighbour.queue("none.csv", status="completed")
    wrong = [
        world.submit(FILE, MAPPINGS, options={"retry_of": first}),
        world.submit(text, MAPPINGS, options={"retry_of": waiting}),
        world.submit(text, MAPPINGS, options={"retry_of": foreign}),
        world.submit(text, MAPPINGS, options={"retry_of": ObjectId()}),
    ]

    await run_imports(import_attempts=1, import_retry_seconds=60)

    errors = [world.import_of(one)["error"] for one in wrong]
    assert "needs the column '_row'" in errors[0]
    assert errors[1].endswith(": wait for its end")
    assert all("the account has no import" in error for error in errors[2:])
    neighbour.close()


async def test_values_are_read_as_in_the_first_import(world: World, run_imports: RunImports) -> None:
    mappings = {"1": "name", "2": "value", "3": "stage_id"}
    options = {"has_header": False, "delimiter": ";"}
    first = world.submit("Müller;1,50;won\nKöhler;2,500;\nBär;2,75;won\n".encode(), mappings, options=options)
    await run_imports()
    report = world.download(world.import_of(first)["error_csv_key"])

    fixed = report.decode().replace('"2,500",""', '"2,500","won"').encode()
    second = world.submit(fixed, mappings, options={**options, "encoding": "cp1252", "retry_of": first})
    await run_imports()

    (deal,) = world.deals_of(second)
    assert (deal["name"], deal["value"], deal["import_row"]) == ("Köhler", 2.5, 2)
