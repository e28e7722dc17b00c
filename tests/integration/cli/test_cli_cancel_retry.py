"""Imports that are cancelled while they run, and taken up again: every row ends in exactly one place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pipeline_engine.domain.imports.control import cancel, retry
from pipeline_engine.errors import Permanent
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

MAPPINGS = {"Deal Name": "name", "Stage": "stage_id"}


def file_of(rows: int) -> str:
    """Every tenth row is wrong."""
    return "Deal Name,Stage\n" + "".join(f"Deal {n},{'' if n % 10 == 0 else 'new'}\n" for n in range(1, rows + 1))


async def run(configured: Settings, **changes: object) -> None:
    await run_once(configured.model_copy(update={"import_chunk_rows": 50, **changes}), ["deals.import"])


def rows_in(world: World) -> int:
    return world.db["deals"].count_documents({"account_id": world.account})


@pytest.mark.covers("DI-X3", "DI-X10")
async def test_a_running_import_is_cancelled_and_the_rest_follows_when_it_is_retried(
    app: EngineApp, world: World, configured: Settings
) -> None:
    rows = 5_000
    queue_id = world.submit(file_of(rows), MAPPINGS)
    running = asyncio.create_task(run(configured, import_chunks_ahead=2))
    await eventually(lambda: rows_in(world), "some rows are in")

    assert await cancel(app, queue_id) == "processing"
    await running

    cancelled = world.import_of(queue_id)
    assert (cancelled["status"], cancelled["in_progress"]) == ("cancelled", False)
    assert 0 < len(world.deals_of(queue_id)) < rows * 0.9
    assert cancelled["progress"]["rows_added"] == len(world.deals_of(queue_id))
    assert world.report_of(queue_id)["total_records_added"] == len(world.deals_of(queue_id))

    await retry(app, queue_id)
    waiting = world.import_of(queue_id)
    settled = sum(cancelled["progress"][f"rows_{name}"] for name in ("added", "failed"))
    assert (waiting["status"], waiting["rows_before"], "started_at" in waiting) == ("pending", settled, False)
    await run(configured)

    ended = world.import_of(queue_id)
    assert ended["status"] == "completed"
    deals = {deal["import_row"] for deal in world.deals_of(queue_id)}
    errors = {int(error["_row"]) for error in world.error_csv_of(queue_id)}
    assert len(world.deals_of(queue_id)) == len(deals)
    assert errors == set(range(10, rows + 1, 10))
    assert deals == set(range(1, rows + 1)) - errors
    assert (ended["progress"]["rows_added"], ended["progress"]["rows_failed"]) == (len(deals), len(errors))


async def test_chunks_that_failed_or_were_cancelled_are_worked_off_after_a_retry(
    app: EngineApp, world: World, configured: Settings
) -> None:
    queue_id = world.submit(file_of(300), MAPPINGS)
    await run(configured)
    # As if the second chunk had failed and the fourth been cancelled, before any of their rows was written.
    for n, state in ((1, "failed"), (3, "cancelled")):
        world.db["import_chunks"].update_one(
            {"_id": f"{queue_id}:{n}"}, {"$set": {"state": state}, "$unset": dict.fromkeys(("created", "failed"), "")}
        )
        world.db["deals"].delete_many({"import_id": queue_id, "import_row": {"$gt": 50 * n, "$lte": 50 * n + 50}})
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"status": "failed"}})
    assert len(world.deals_of(queue_id)) == 180

    await retry(app, queue_id)
    await run(configured)

    ended = world.import_of(queue_id)
    assert (ended["status"], ended["progress"]["rows_added"], ended["progress"]["rows_failed"]) == (
        "completed",
        270,
        30,
    )
    assert len(world.deals_of(queue_id)) == 270
    assert world.db["import_chunks"].count_documents({"queue_id": queue_id, "state": "done"}) == 6


async def test_a_retry_has_all_its_attempts_before_it_and_sends_its_own_end(
    app: EngineApp, world: World, configured: Settings
) -> None:
    queue_id = world.queue(f"imports/{world.account}/late.csv", MAPPINGS)
    await run(configured, import_attempts=1)
    assert world.import_of(queue_id)["status"] == "failed"
    world.upload(f"imports/{world.account}/late.csv", file_of(5))

    await retry(app, queue_id)
    await run(configured, import_attempts=1)

    assert world.import_of(queue_id)["status"] == "completed"
    sent = world.db["outbox"].find({"event": "import_finished"}, sort=[("createdAt", 1)])
    assert [message["data"]["status"] for message in sent] == ["failed", "completed"]


async def test_a_cancelled_import_whose_file_is_missing_is_cancelled_not_failed(
    app: EngineApp, world: World, configured: Settings
) -> None:
    queue_id = world.queue(f"imports/{world.account}/missing.csv", MAPPINGS)

    assert await cancel(app, queue_id) == "pending"
    await run(configured)

    assert world.import_of(queue_id)["status"] == "cancelled"


async def test_an_import_whose_ledger_may_be_gone_is_not_retried(app: EngineApp, world: World) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=29, minutes=1)
    queue_id = world.queue("x.csv", status="failed", completed_at=long_ago)

    with pytest.raises(Permanent, match="over 29 days ago: import the file again"):
        await retry(app, queue_id)

    assert world.import_of(queue_id)["status"] == "failed"
