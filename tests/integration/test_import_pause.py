"""The pause between two attempts of an import stands in its document, so that nothing shortens it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline_engine.domain.imports import sweep
from pipeline_engine.domain.imports.control import cancel
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.plan import run_import
from pipeline_engine.lanes import Snooze
from tests.support.engine_app import EngineApp
from tests.support.world import World


@pytest.mark.covers("DI-X1")
async def test_an_import_that_failed_rests_though_redis_and_its_process_are_gone(world: World, app: EngineApp) -> None:
    queue_id = world.queue("imports/not there yet.csv")

    outcome = await run_import(app, ImportCache(), queue_id)

    assert outcome == Snooze(app.settings.import_retry_seconds)
    queue = world.import_of(queue_id)
    assert (queue["status"], queue["attempts"]) == ("pending", 1)
    rest = queue["next_at"] - datetime.now(UTC)
    assert timedelta(seconds=1) < rest <= timedelta(seconds=app.settings.import_retry_seconds)
    # Another process, with nothing but the document: the sweep does not find it, and a job of it does nothing.
    assert await sweep.find(app) == []
    assert await run_import(app, ImportCache(), queue_id) is None
    assert world.import_of(queue_id)["attempts"] == 1


async def test_after_the_pause_it_is_found_and_has_its_next_attempt(world: World, app: EngineApp) -> None:
    queue_id = world.queue("imports/not there yet.csv")
    await run_import(app, ImportCache(), queue_id)
    world.db["queues"].update_one({"_id": queue_id}, {"$set": {"next_at": datetime.now(UTC) - timedelta(seconds=1)}})

    assert [unit.id for unit in await sweep.find(app)] == [str(queue_id)]
    await run_import(app, ImportCache(), queue_id)

    assert world.import_of(queue_id)["attempts"] == 2


async def test_a_cancelled_import_does_not_wait_for_its_pause(world: World, app: EngineApp) -> None:
    queue_id = world.queue("imports/not there yet.csv")
    await run_import(app, ImportCache(), queue_id)

    await cancel(app, queue_id)
    await run_import(app, ImportCache(), queue_id)

    assert world.import_of(queue_id)["status"] == "cancelled"
