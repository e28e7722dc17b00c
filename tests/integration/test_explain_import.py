"""`explain import`: status and why, what is done, and what happens next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.imports.explain import explain
from pipeline_engine.errors import Permanent
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.world import SAMPLE, World

HOUR = timedelta(hours=1)
HELD = {"status": "processing", "in_progress": True, "attempts": 1, "lease_owner": "host:1:aa"}


@pytest.fixture
def now() -> datetime:
    """The time of the test; parameters and constants of the module are made too early."""
    return datetime.now(UTC).replace(microsecond=0)


def cases(now: datetime) -> list[tuple[dict[str, Any], str, timedelta | None, str]]:
    """What the queue document says beyond a pending import; what follows, how long after its last change, and why."""
    return [
        ({}, "runs", None, "next look"),
        ({**HELD, "lease_until": now + HOUR}, "runs", None, "host:1:aa"),
        ({**HELD, "lease_until": now - HOUR}, "runs", None, "next look"),
        ({**HELD, "lease_until": None, "lease_owner": None, "in_progress": False}, "runs", None, "next look"),
        (
            {"attempts": 1, "error": "no such key", "updatedAt": now, "next_at": now + HOUR},
            "retries",
            HOUR,
            "no such key",
        ),
        ({"in_progress": True, "updatedAt": now + HOUR}, "waits", timedelta(minutes=10), "another engine"),
        ({"cancel_requested": True}, "ends", None, "cancelled"),
        ({"additional_data": None}, "fails", None, "pipeline_id is missing"),
        ({"csv": []}, "fails", None, "Key is missing"),
        ({**HELD, "crashes": 2, "lease_until": now - HOUR}, "fails", None, "3 processes ended"),
        ({"status": "failed", "error": "bad file", "completed_at": now}, "never", None, "bad file"),
        ({"status": "cancelled"}, "never", None, "`imports retry`"),
    ]


async def test_what_happens_next(app: EngineApp, world: World, now: datetime) -> None:
    for queue, what, after, why in cases(now):
        found = await explain(app, world.queue("some/key.csv", **queue))
        assert found.next.what == what, queue
        assert why in found.next.why, queue
        if after:
            assert found.next.at == queue["updatedAt"] + after
        else:
            assert (found.next.at is None) == (what != "runs"), queue


async def test_what_is_done_and_who_holds_the_rest(app: EngineApp, world: World, now: datetime) -> None:
    queue = world.queue("some/key.csv", None, **HELD, lease_until=now + HOUR)
    chunk = {"queue_id": queue, "account_id": world.account, "rows": 500, "token": 1, "attempts": 1}
    done = {"created": 498, "failed": 2, "updated": 0, "skipped": 0, "state": "done"}
    owner = {"state": "open", "lease_owner": "host:2:bb", "lease_until": now + HOUR}
    states: list[dict[str, Any]] = [done, done, owner, {"state": "open", "token": None}]
    chunks = [{**chunk, "_id": f"{queue}:{n}", "n": n, **state} for n, state in enumerate(states)]
    world.db["import_chunks"].insert_many(chunks)

    found = await explain(app, queue)

    assert [(one.state, one.chunks, one.rows) for one in found.chunks] == [("done", 2, 1000), ("open", 2, 1000)]
    assert (found.figures["rows_added"], found.figures["rows_failed"]) == (996, 4)
    (held,) = found.held
    assert (held.chunk, held.owner, held.until) == (f"{queue}:2", "host:2:bb", now + HOUR)


async def test_an_import_that_ran_to_its_end(app: EngineApp, world: World, run_imports: RunImports) -> None:
    queue = world.submit(SAMPLE)
    before = await explain(app, queue)
    await run_imports()
    after = await explain(app, queue)

    assert (before.status, before.next.what, list(before.chunks)) == ("pending", "runs", [])
    assert (after.status, after.next.what, after.figures["rows_added"]) == ("completed", "never", 3)
    assert [(one.state, one.rows) for one in after.chunks] == [("done", 3)]


async def test_an_import_that_does_not_exist_is_named(app: EngineApp) -> None:
    missing = ObjectId()
    with pytest.raises(Permanent, match=f"no import {missing}"):
        await explain(app, missing)


async def test_row_errors_stand_by_kind_while_it_runs_and_afterwards(
    app: EngineApp, world: World, run_imports: RunImports
) -> None:
    queue = world.submit("name;stage\n" + "One;\n" * 3 + "Two;won;more\n", {"name": "name", "stage": "stage_id"})
    await run_imports()

    ended = await explain(app, queue)
    world.db["queues"].update_one({"_id": queue}, {"$set": {"status": "processing"}})
    world.db["csv_imports"].delete_one({"queue_id": queue})
    running = await explain(app, queue)

    assert list(running.errors) == list(ended.errors)
    assert [line.split(",")[0] for line in ended.errors] == [
        "stage: 3 rows empty though the field is needed",
        "1 row with another number of cells than the file has columns",
    ]
    assert ended.dialect.startswith("UTF-8 with a semicolon between two cells")


async def test_what_was_left_out_is_named_here_and_in_the_report(
    app: EngineApp, world: World, run_imports: RunImports
) -> None:
    queue = world.submit(
        "Deals\n\nname,stage\nA,won\nB,won\n\nNew: Big Corp deal\n", {"name": "name", "stage": "stage_id"}
    )

    await run_imports()

    before, after = (await explain(app, queue)).warnings
    assert "line 1 before the header" in before
    assert "line 7 after the table ('New: Big Corp deal')" in after
    assert world.report_of(queue)["warnings"] == [before, after]
