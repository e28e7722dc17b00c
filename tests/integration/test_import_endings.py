"""How an import ends: one report, one event for the CRM, one for the user, and nothing left behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.jobs import ROWS
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.domain.imports.sweep import find
from pipeline_engine.lanes import Snooze
from pipeline_engine.repos.events import EventsDue
from pipeline_engine.repos.imports import QUEUES
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch
from tests.integration.conftest import RunImports
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import ENDLESS, SAMPLE, World

ONE_BAD = SAMPLE + "Nowhere Deal,1,,open,,\n"


@pytest.mark.covers("DI-19", "DI-20", "DI-X10")
async def test_the_report_has_the_shape_of_the_contract(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(ONE_BAD)

    await run_imports()

    report = world.report_of(queue_id)
    for name in ("_id", "createdAt", "updatedAt"):
        assert report.pop(name)
    assert report == {
        "queue_id": queue_id,
        "account_id": world.account,
        "user_id": world.user,
        "total_records_added": 3,
        "total_errors": 1,
        "error": None,
        "error_csv_key": world.import_of(queue_id)["error_csv_key"],
        "warnings": [],
        "error_groups": [
            {
                "code": "required",
                "column": "Stage",
                "rows": 1,
                "row": 4,
                "line": 5,
                "message": "the cell is empty but the field is needed",
            }
        ],
        "logs": [
            {
                "position": 4,
                "line": 5,
                "column": "Stage",
                "code": "required",
                "message": "Deal Insertion failed. Stage: the cell is empty but the field is needed",
                "additional_info": "the cell is empty but the field is needed",
                "row": ["Nowhere Deal", "1", "", "open", "", ""],
            }
        ],
    }
    assert world.db["csv_imports"].count_documents({}) == 1


@pytest.mark.covers("DI-04", "DI-20")
async def test_the_queue_document_has_the_end_and_keeps_what_the_user_wrote(
    world: World, run_imports: RunImports
) -> None:
    queue_id = world.submit(ONE_BAD)
    before = world.import_of(queue_id)

    await run_imports()

    after = world.import_of(queue_id)
    kept = before.keys() - {"status", "updatedAt"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["status"], after["in_progress"], after["error"], after["attempts"]) == ("completed", False, None, 1)
    assert (after["lease_owner"], after["lease_until"]) == (None, None)
    assert before["createdAt"] < after["started_at"] < after["completed_at"] <= after["updatedAt"]
    assert after["progress"] == {
        "bytes_read": len(ONE_BAD),
        "bytes_total": len(ONE_BAD),
        "rows_read": 4,
        "rows_added": 3,
        "rows_updated": 0,
        "rows_skipped": 0,
        "rows_failed": 1,
    }
    assert "events_due" not in after


@pytest.mark.covers("DI-20")
async def test_completion_is_sent_to_the_crm_once(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(ONE_BAD)

    await run_imports()

    (event,) = world.db["crm_events"].find()
    assert event.pop("occurred_at") <= event.pop("createdAt") == event.pop("updatedAt")
    assert event | {"status": "new", "attempts": 0} == {
        "_id": f"import.completed:{queue_id}:0",
        "type": "import.completed",
        "account_id": world.account,
        "user_id": world.user,
        "data": {"queue_id": str(queue_id), "status": "completed", "added": 3, "failed": 1},
        "status": "new",
        "attempts": 0,
    }


async def test_failure_is_sent_to_the_user_but_is_no_completion(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(SAMPLE, {"Deal Name": "owner"})

    await run_imports()

    assert list(world.db["crm_events"].find()) == []
    (message,) = world.db["outbox"].find()
    assert (message["event"], message["user_ids"]) == ("import_finished", [str(world.user)])
    assert message["data"] == {"queue_id": str(queue_id), "status": "failed", "added": 0, "failed": 0}


@pytest.mark.covers("R-26")
async def test_events_that_a_crash_left_unsent_are_sent_by_the_next_sweep(
    world: World, configured: Settings, app: EngineApp
) -> None:
    """As if the process had died between the end of the import and its announcement."""
    queue_id = world.submit(SAMPLE)
    held = await app.repos.imports.claim(queue_id)
    assert held is not None
    result = {"queue_id": str(queue_id), "status": "completed", "added": 0, "failed": 0}
    common = {"user_id": world.user, "type": "import.completed", "data": result}
    due = [{"event_id": "import.completed:x", "to": "crm_events", **common}]
    await app.repos.imports.end(held, "completed", due)
    assert list(world.db["crm_events"].find()) == []

    for _ in range(2):
        await run_once(configured, ["events.outbox"])

        assert [event["_id"] for event in world.db["crm_events"].find()] == ["import.completed:x"]
        assert "events_due" not in world.import_of(queue_id)


async def test_an_event_that_was_sent_before_the_crash_is_not_sent_twice(
    world: World, configured: Settings, run_imports: RunImports
) -> None:
    queue_id = world.submit(SAMPLE)
    await run_imports()
    (event,) = world.db["crm_events"].find()
    again: dict[str, Any] = {"event_id": event["_id"], "to": "crm_events"}
    again |= {name: event[name] for name in ("type", "user_id", "data")}
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"events_due": [again]}})

    await run_once(configured, ["events.outbox"])

    (same,) = world.db["crm_events"].find()
    assert (same["_id"], same["createdAt"]) == (event["_id"], event["createdAt"])
    assert "events_due" not in world.import_of(queue_id)


async def test_an_event_that_became_due_meanwhile_is_not_forgotten(world: World, app: EngineApp) -> None:
    first, second = ({"event_id": f"e{n}", "to": "crm_events"} for n in (1, 2))
    queue_id = world.queue("a.csv", events_due=[first])
    events = EventsDue(app.store, QUEUES)
    read = await events.get(queue_id)
    assert read is not None
    world.db["queues"].update_one({"_id": queue_id}, {"$push": {"events_due": second}})

    await events.clear(read)

    assert world.import_of(queue_id)["events_due"] == [first, second]


@pytest.mark.covers("DI-24", "DI-X15")
async def test_the_file_is_deleted_after_completion_when_that_is_wanted(world: World, run_imports: RunImports) -> None:
    wanted = world.submit(SAMPLE, options={"delete_csv": True})
    unwanted = world.submit(SAMPLE)
    failed = world.submit(f'Deal Name,Value,Stage\nA,1,won\n"open{ENDLESS}', options={"delete_csv": True})
    hopeless = world.submit(SAMPLE, {"Deal Name": "owner"}, options={"delete_csv": True})

    await run_imports()

    left = world.keys(f"imports/{world.account}/")
    keys = {queue_id: world.import_of(queue_id)["csv"][0]["key"] for queue_id in (wanted, unwanted, failed, hopeless)}
    assert keys[wanted] not in left
    assert {keys[unwanted], keys[failed], keys[hopeless]} <= set(left)


async def test_the_ledger_goes_after_thirty_days(world: World, run_imports: RunImports) -> None:
    queue_id = world.submit(SAMPLE)

    await run_imports()

    (chunk,) = world.db["import_chunks"].find({"queue_id": queue_id})
    kept = chunk["expires_at"] - world.import_of(queue_id)["completed_at"]
    assert timedelta(days=29, hours=23) < kept < timedelta(days=30, hours=1)


@pytest.mark.covers("DI-14", "DI-X5")
async def test_jobs_hold_ids_and_neither_cells_nor_secrets(world: World, app: EngineApp) -> None:
    queue_id = world.submit(SAMPLE)
    await dispatch(app, await find(app))
    desk = ImportCache()
    planning = asyncio.create_task(run_import(app, desk, queue_id))

    async def chunks_wait() -> bool:
        return (await app.queue.counts([ROWS.lane.name]))[ROWS.lane.name].waiting == 1

    await eventually(chunks_wait, "the chunk waits in its lane")
    ours = [key async for key in app.redis.scan_iter(f"{app.settings.redis_prefix}*")]
    dumped = b"".join([key + await app.redis.dump(key) for key in ours])
    app.stopping.set()
    assert await planning == Snooze()

    assert f"{queue_id}:0".encode() in dumped
    assert app.settings.app_secret is not None
    secret = app.settings.app_secret.get_secret_value()
    for secret_word in ("Acme Corp Deal", "john@acme.com", "eyJ", secret, str(world.account)):
        assert secret_word.encode() not in dumped
