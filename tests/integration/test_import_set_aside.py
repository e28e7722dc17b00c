"""A chunk in quarantine ends its import with a reason instead of being waited for; the other chunks keep their rows."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.control import cancel, retry
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.domain.imports.rows import run_chunk
from pipeline_engine.repos.import_chunks import ImportChunks
from pipeline_engine.repos.quarantine import entry_id
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.large import fill
from tests.support.world import Document, World

ROWS, CHUNK_ROWS, LARGE = 6, 2, 1
FILE = "name\n" + "".join(f"Deal {row}\n" for row in range(1, ROWS + 1))
ROOM_FOR_A_CLAIM = 600


@pytest.fixture(
    params=[0, pytest.param(ROOM_FOR_A_CLAIM, marks=pytest.mark.slow)], ids=["cannot be claimed", "cannot be ended"]
)
def large(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second chunk of every import is filled up as soon as it is stored."""
    store = ImportChunks.add

    async def add(chunks: ImportChunks, documents: list[Document]) -> bool:
        stored = await store(chunks, documents)
        for document in documents:
            if document["n"] == LARGE:
                fill(world, "import_chunks", document["_id"], request.param)
        return stored

    async def end(chunks: ImportChunks, held: Document, state: str, **result: Any) -> bool:
        more = {"more": "x" * ROOM_FOR_A_CLAIM} if "padding" in held else {}
        return await chunks.write(held, {**result, **more, "lease_until": None, "lease_owner": None, "state": state})

    monkeypatch.setattr(ImportChunks, "add", add)
    monkeypatch.setattr(ImportChunks, "end", end)


def rows_of(world: World, queue_id: ObjectId) -> list[int]:
    return sorted(deal["import_row"] for deal in world.deals_of(queue_id))


@pytest.mark.usefixtures("large")
async def test_an_import_fails_for_its_chunk_in_quarantine_and_goes_on_when_it_is_released(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, {"name": "name"})
    chunk = f"{queue_id}:{LARGE}"
    entry = entry_id("import_chunks", chunk)

    await run_imports(import_chunk_rows=CHUNK_ROWS)

    failed = world.import_of(queue_id)
    assert failed["status"] == "failed"
    assert "rows 3 to 4" in failed["error"]
    assert f"quarantine release {entry}" in failed["error"]
    assert set(rows_of(world, queue_id)) >= {1, 2, 5, 6}
    assert [one["document_id"] for one in world.db["quarantine"].find()] == [chunk]

    await retry(app, queue_id)  # too early: nothing has changed
    await run_imports(import_chunk_rows=CHUNK_ROWS)
    assert (world.import_of(queue_id)["status"], world.import_of(queue_id)["error"]) == ("failed", failed["error"])

    world.db["import_chunks"].update_one({"_id": chunk}, {"$unset": {"padding": ""}})
    await app.shared.quarantine.release(entry)
    await retry(app, queue_id)
    await run_imports(import_chunk_rows=CHUNK_ROWS)

    done = world.import_of(queue_id)
    assert (done["status"], done["progress"]["rows_added"]) == ("completed", ROWS)
    assert rows_of(world, queue_id) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("spare", [0, ROOM_FOR_A_CLAIM], ids=["cannot be claimed", "cannot be changed"])
async def test_a_cancelled_import_ends_beside_a_chunk_that_it_cannot_close(
    world: World, app: EngineApp, run_imports: RunImports, spare: int
) -> None:
    queue_id = world.submit(FILE, {"name": "name"})
    await run_imports(import_chunk_rows=CHUNK_ROWS)
    chunk = f"{queue_id}:{LARGE}"
    begun: Document = {"state": "open", "token": 1, "lease_until": None, "lease_owner": None}
    world.db["import_chunks"].update_one({"_id": chunk}, {"$set": begun})
    fill(world, "import_chunks", chunk, spare)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "processing"}})
    await cancel(app, queue_id)

    await run_import(app, ImportCache(), queue_id)

    assert world.import_of(queue_id)["status"] == "cancelled"
    state = world.db["import_chunks"].find_one({"_id": chunk}, projection=["state"])
    assert state is not None
    assert state["state"] == ("open" if spare == 0 else "cancelled")


async def test_a_chunk_that_no_run_ever_claimed_does_not_keep_an_import_from_being_cancelled(
    world: World, app: EngineApp, run_imports: RunImports
) -> None:
    queue_id = world.submit(FILE, {"name": "name"})
    await run_imports(import_chunk_rows=CHUNK_ROWS)
    chunk = f"{queue_id}:{LARGE}"
    untouched: Document = {"$set": {"state": "open"}, "$unset": {"token": "", "updatedAt": ""}}
    world.db["import_chunks"].update_one({"_id": chunk}, untouched)
    fill(world, "import_chunks", chunk)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "processing"}})
    await run_chunk(app, ImportCache(), chunk)
    await cancel(app, queue_id)

    await run_import(app, ImportCache(), queue_id)

    assert world.import_of(queue_id)["status"] == "cancelled"
    assert world.db["quarantine"].count_documents({"document_id": chunk}) == 1
