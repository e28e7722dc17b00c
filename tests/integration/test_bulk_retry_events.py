"""Dead events are retried in bulk through the real lanes and consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.bulk_retry import BulkResult, Pace, retry_all
from pipeline_engine.domain.consumers import attempt
from pipeline_engine.domain.events.jobs import RETRY
from pipeline_engine.engine import Engine
from tests.support.crm_events import Spy, contact, created, event_of
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.world import World

FAST = Pace(per_second=1000, wait=30)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    monkeypatch.setattr(attempt, "CONSUMERS", (spy.consumer,))
    return spy


@pytest.fixture
async def engine(app: EngineApp) -> AsyncIterator[Engine]:
    engine = Engine(app)
    await engine.start()
    yield engine
    await engine.stop(0)


def dead_events(world: World, count: int) -> tuple[list[Any], list[dict[str, Any]]]:
    """Events that were given up an hour ago, and their dead letters, the oldest first."""
    ids = [created(world, contact(world), at, status="dead", attempts=4) for at in range(count)]
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    letters = [
        {
            "_id": ObjectId(),
            "lane": RETRY.lane.name,
            "job_id": id,
            "function": RETRY.name,
            "args": [id],
            "error": "on purpose",
            "last_failed_at": long_ago + timedelta(seconds=at),
            "status": "dead",
        }
        for at, id in enumerate(ids)
    ]
    world.db["dead_letters"].insert_many(letters)
    return ids, letters


def dead_letters(world: World) -> set[Any]:
    return {letter["job_id"] for letter in world.db["dead_letters"].find({"status": "dead"})}


@pytest.mark.slow
@pytest.mark.covers("CL-09")
async def test_when_the_cause_is_gone_none_is_left_and_each_is_consumed_once(
    world: World, app: EngineApp, engine: Engine, spy: Spy
) -> None:
    ids, letters = dead_events(world, 80)
    assert await retry_all(app, letters, FAST) == BulkResult(80, 0)
    await eventually(lambda: all(event_of(world, id)["status"] == "done" for id in ids), "all are consumed", 60)
    assert (sorted(spy.seen), dead_letters(world)) == (sorted(ids), set())


@pytest.mark.covers("CL-09")
async def test_while_the_cause_is_there_only_the_canary_is_consumed_again(
    world: World, app: EngineApp, engine: Engine, spy: Spy
) -> None:
    ids, letters = dead_events(world, 80)
    spy.failing = set(ids)
    assert await retry_all(app, letters, FAST) == BulkResult(1, 79, "it failed again")
    assert set(spy.seen) == {ids[0]}
    assert dead_letters(world) == set(ids[1:]), "the canary still has attempts"
    assert {event_of(world, id)["status"] for id in ids[1:]} == {"dead"}
