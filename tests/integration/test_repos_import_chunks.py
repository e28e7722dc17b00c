"""The ledger of an import: who works on a chunk, what became of it, and the sums over all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.repos.import_chunks import ImportChunks, chunk_id
from pipeline_engine.repos.lease import Lease
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import Document

ACCOUNT, IMPORT = ObjectId(), ObjectId()


def chunk(n: int, **fields: Any) -> Document:
    owner = {"account_id": ACCOUNT, "queue_id": IMPORT}
    return {"_id": chunk_id(IMPORT, n), **owner, "n": n, "first_row": 1 + 10 * n, "rows": 10, "state": "open", **fields}


def daemon(app: EngineApp, name: str, seconds: float = 15) -> ImportChunks:
    return ImportChunks(replace(app.store, lease=Lease(name, seconds)))


async def begun(chunks: ImportChunks, n: int) -> Document:
    held = await chunks.claim(chunk_id(IMPORT, n))
    assert held is not None
    return held


async def states(app: EngineApp) -> list[str]:
    return [one["state"] for one in await app.database["import_chunks"].find().sort("n").to_list(None)]


async def test_a_chunk_that_another_planner_has_cut_is_not_written_again(app: EngineApp) -> None:
    assert await app.repos.chunks.add([chunk(0), chunk(1)])

    assert not await app.repos.chunks.add([chunk(1, rows=99), chunk(2)])

    stored = await app.database["import_chunks"].find().sort("n").to_list(None)
    assert [(one["n"], one["rows"]) for one in stored] == [(0, 10), (1, 10)]


@pytest.mark.covers("R-02")
async def test_a_row_job_that_was_too_slow_ends_nothing(app: EngineApp) -> None:
    await app.repos.chunks.add([chunk(0)])
    slow = daemon(app, "slow", 0.05)
    stale = await begun(slow, 0)
    heir = await eventually(partial(daemon(app, "heir").claim, chunk_id(IMPORT, 0)), "the lease ran out")
    assert heir is not None
    assert (heir["token"], heir["attempts"], heir["crashes"]) == (2, 1, 1)

    assert not await slow.end(stale, "done", created=10)
    await slow.put_off(stale, 0, "too late")

    stored = await app.database["import_chunks"].find_one({})
    assert stored == heir


async def test_what_is_done_is_not_done_again(app: EngineApp) -> None:
    await app.repos.chunks.add([chunk(0)])
    held = await begun(app.repos.chunks, 0)
    assert await app.repos.chunks.end(held, "done", created=10)

    assert await app.repos.chunks.claim(chunk_id(IMPORT, 0)) is None
    assert not await app.repos.chunks.end(held, "failed")
    assert await states(app) == ["done"]


async def test_totals_are_sums_over_what_has_ended(app: EngineApp) -> None:
    done = {"state": "done", "created": 7, "updated": 1, "skipped": 1, "failed": 1}
    await app.repos.chunks.add(
        [
            chunk(0, **done),
            chunk(1, **done),
            chunk(2, created=99),
            chunk(3, state="cancelled", created=4),
            chunk(4, state="failed"),
        ]
    )

    assert await app.repos.chunks.totals(ACCOUNT, IMPORT) == {"created": 18, "updated": 2, "skipped": 2, "failed": 2}
    assert await app.repos.chunks.totals(ObjectId(), IMPORT) == {"created": 0, "updated": 0, "skipped": 0, "failed": 0}


async def test_errors_come_in_the_order_of_the_file(app: EngineApp) -> None:
    await app.repos.chunks.add(
        [chunk(n, failed=2, errors=[{"row": 10 * n + 1}, {"row": 10 * n + 2}]) for n in (2, 0, 10)]
    )

    rows = [error["row"] async for error in app.repos.chunks.errors(ACCOUNT, IMPORT)]

    assert rows == [1, 2, 21, 22, 101, 102]


async def test_only_chunks_that_were_never_claimed_are_closed_unseen(app: EngineApp) -> None:
    await app.repos.chunks.add([chunk(0), chunk(1), chunk(2), chunk(3, state="done")])
    await begun(app.repos.chunks, 0)
    await app.repos.chunks.put_off(await begun(app.repos.chunks, 1), 0, "will be tried again")

    await app.repos.chunks.cancel_untouched(ACCOUNT, IMPORT)

    assert await states(app) == ["open", "open", "cancelled", "done"]
    assert await app.repos.chunks.open_ids(ACCOUNT, IMPORT) == [chunk_id(IMPORT, 1)]
    assert await app.repos.chunks.count_open(ACCOUNT, IMPORT) == 2


async def test_a_retry_gives_chunks_all_their_attempts_again(app: EngineApp) -> None:
    gone = datetime.now(UTC) + timedelta(days=30)
    used = {"attempts": 3, "crashes": 2, "expires_at": gone}
    states_before = ("failed", "cancelled", "done", "open")
    await app.repos.chunks.add([chunk(n, state=state, **used) for n, state in enumerate(states_before)])

    assert await app.repos.chunks.reopen(ACCOUNT, IMPORT, "cancelled", "failed") == 2

    assert await states(app) == ["open", "open", "done", "open"]
    stored = await app.database["import_chunks"].find().sort("n").to_list(None)
    assert [(one["attempts"], one["crashes"]) for one in stored] == [(0, 0), (0, 0), (3, 2), (3, 2)]
    assert not any("expires_at" in one for one in stored)
