"""A retry reads a file that was replaced: rows that are in stay, what follows is read by the new file."""

from __future__ import annotations

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.control import retry
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import ENDLESS, World

MAPPINGS = {"name": "name", "stage": "stage_id", "note": "contact_name"}
BROKEN = 'name,stage,note\n{0},won,a\n{1},won,b\n{2},won,"c' + ENDLESS + "{3},won,d\n"


def broken(*names: str) -> str:
    """A file whose third row has a quote that never closes."""
    return BROKEN.format(*names)


def mended(body: str) -> str:
    return body.replace(ENDLESS, "\n").replace('"', "")


async def replace(world: World, app: EngineApp, queue_id: ObjectId, body: str) -> None:
    world.upload(world.import_of(queue_id)["csv"][0]["key"], body)
    await retry(app, queue_id)


@pytest.mark.parametrize("rows", [1, 500])
@pytest.mark.parametrize("delimiter", [",", ";"])
async def test_the_corrected_file_goes_on_behind_the_rows_that_are_in(
    world: World, app: EngineApp, run_imports: RunImports, rows: int, delimiter: str
) -> None:
    queue_id = world.submit(broken("One", "Two", "Three", "Four"), MAPPINGS)
    await run_imports(import_chunk_rows=rows)
    failed = world.import_of(queue_id)
    assert failed["status"] == "failed"
    assert "row 3 (line 4)" in failed["error"]
    assert "retry the import: it goes on with row 3" in failed["error"]
    before = world.deals_of(queue_id)

    whole = mended(broken("A longer one", "2", "Three", "Four")).replace(",", delimiter)
    await replace(world, app, queue_id, whole)
    await run_imports(import_chunk_rows=rows)

    ended = world.import_of(queue_id)
    assert (ended["status"], ended["error"]) == ("completed", None)
    assert world.deals_of(queue_id)[:2] == before
    assert [deal["name"] for deal in world.deals_of(queue_id)] == ["One", "Two", "Three", "Four"]
    progress = ended["progress"]
    assert (progress["rows_read"], progress["rows_added"], progress["rows_failed"]) == (4, 4, 0)
    assert progress["bytes_read"] == progress["bytes_total"] == len(whole)
    assert world.report_of(queue_id)["logs"] == []
    assert "the file was replaced: rows up to 2" in world.report_of(queue_id)["warnings"][0]


async def test_a_second_correction_goes_on_again(world: World, app: EngineApp, run_imports: RunImports) -> None:
    queue_id = world.submit(broken("One", "Two", "Three", "Four"), MAPPINGS)
    await run_imports(import_chunk_rows=1)
    more = mended(broken("One", "Two", "Three", "Four")) + f'Five,won,"e{ENDLESS}Six,won,f\n'
    await replace(world, app, queue_id, more)
    await run_imports(import_chunk_rows=1)
    assert world.import_of(queue_id)["status"] == "failed"

    await replace(world, app, queue_id, mended(more))
    await run_imports(import_chunk_rows=1)

    assert world.import_of(queue_id)["status"] == "completed"
    names = ["One", "Two", "Three", "Four", "Five", "Six"]
    assert [deal["name"] for deal in world.deals_of(queue_id)] == names


async def test_a_file_that_was_refused_is_read_anew_and_a_shorter_one_ends(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    refused = world.submit("other,columns\n1,2\n", MAPPINGS)
    short = world.submit(broken("One", "Two", "Three", "Four"), MAPPINGS)
    await run_imports()

    await replace(world, app, refused, "name,stage,note\nOne,won,a\n")
    await replace(world, app, short, "name,stage,note\nOne,won,a\n")
    await run_imports()

    assert [deal["name"] for deal in world.deals_of(refused)] == ["One"]
    ended = world.import_of(short)
    assert (ended["status"], ended["progress"]["rows_read"], ended["progress"]["rows_added"]) == ("completed", 2, 2)


async def test_a_refusal_says_how_the_file_was_read(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit("Deal;Stage name\nOne;won\n", {"Deal Name": "name", "Stage": "stage_id"})

    await run_imports()

    failed = world.import_of(queue_id)
    assert failed["error"] == (
        "name and stage_id cannot be filled, the file has no columns 'Deal Name', 'Stage': its 2 columns are 'Deal', "
        "'Stage name'; 'Deal' may be meant by 'Deal Name'; 'Stage name' may be meant by 'Stage'. The file was read as "
        "UTF-8 with a semicolon between two cells"
    )
    assert failed["dialect"]["delimiter"] == ";"
