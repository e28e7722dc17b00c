"""Imports by the production daemon, `arq pipeline_engine.WorkerSettings`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

import pytest
from bson import ObjectId

from pipeline_engine.embedded.sink import Sink
from tests.acceptance.conftest import Start
from tests.support.eventually import eventually
from tests.support.world import SAMPLE, World


async def ended(world: World, queue_id: ObjectId) -> bool:
    return world.import_of(queue_id)["status"] not in ("pending", "processing")


async def first_deal(world: World, queue_id: ObjectId) -> bool:
    return world.db["deals"].find_one({"import_id": queue_id}) is not None


@pytest.mark.covers("DI-02", "DI-16", "DI-25")
async def test_the_seeds_sample_becomes_three_deals(world: World, start: Start) -> None:
    queue_id = world.submit(SAMPLE)

    daemon = await start()
    await eventually(partial(ended, world, queue_id), "the import has ended")

    done = world.import_of(queue_id)
    assert (done["status"], done["in_progress"]) == ("completed", False)
    assert world.report_of(queue_id)["total_records_added"] == 3
    names = world.stage_names()
    deals = [(deal["name"], names[deal["stage_id"]]) for deal in world.deals_of(queue_id)]
    assert deals == [
        ("Acme Corp Deal", "qualified"),
        ("TechStart Deal", "proposal"),
        ("Global Inc Deal", "negotiation"),
    ]
    assert await daemon.terminate() < 25
    assert daemon.exit_code == 0


async def test_a_new_import_is_noticed_at_once(world: World, start: Start, servers: dict[str, str]) -> None:
    """Though the timetable looks for imports, and for events to deliver, once a minute only."""
    await start(IMPORT_SWEEP_SECONDS="60", OUTBOX_SWEEP_SECONDS="60")
    sink = Sink(servers["SOCKET_SINK_URL"])
    await sink.clear()
    took: list[float] = []
    for _ in range(5):
        queue_id = world.submit(SAMPLE)
        inserted = time.monotonic()
        await eventually(partial(first_deal, world, queue_id), "the first deal is there")
        took.append(time.monotonic() - inserted)
        await eventually(partial(ended, world, queue_id), "the import has ended")

    assert min(took) < 10, took
    finished = await sink.wait_for(5, event="import_finished")
    assert str(queue_id) in {record["payload"]["data"]["queue_id"] for record in finished}


@pytest.mark.covers("DI-01")
async def test_a_daemon_without_deals_leaves_imports_alone_and_says_so(
    world: World, start: Start, servers: dict[str, str]
) -> None:
    queue_id = world.submit(SAMPLE)
    before = world.import_of(queue_id)

    daemon = await start(QM_DEALS="false")

    assert "deal import" in {line["system"] for line in daemon.said("system.switched_off")}
    # It is at work all the same: an event that came after the import is delivered.
    now = datetime.now(UTC)
    event = {"_id": f"later:{queue_id}", "event": "later", "user_ids": [], "data": {}, "attempts": 0}
    world.db["outbox"].insert_one({**event, "account_id": world.account, "state": "waiting", "next_at": now})
    await Sink(servers["SOCKET_SINK_URL"]).wait_for(1, event="later")
    assert world.import_of(queue_id) == before


@pytest.mark.covers("DI-X2")
async def test_a_poison_import_is_tried_three_times_with_a_pause_though_sweeps_come_by(
    world: World, start: Start
) -> None:
    poison = world.queue("imports/missing.csv")

    daemon = await start(IMPORT_RETRY_SECONDS="2", IMPORT_SWEEP_SECONDS="1")
    await eventually(partial(ended, world, poison), "the import has failed", timeout=30)

    failed = world.import_of(poison)
    assert (failed["status"], failed["attempts"]) == ("failed", 3)
    assert 4 <= (failed["completed_at"] - failed["started_at"]).total_seconds() < 20
    assert len(daemon.said("import.attempt_failed")) == 3
    assert {line["id"] for line in daemon.said("import.attempt_failed")} == {str(poison)}
