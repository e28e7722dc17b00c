"""Changes of documents near 16 MB: the change stream survives them, or the watcher opens it again behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import OperationFailure

from pipeline_engine.repos.changes import Change
from pipeline_engine.run_forever import run_forever
from pipeline_engine.watcher import watch
from tests.support.engine_app import EngineApp
from tests.support.eventually import eventually
from tests.support.large import fill
from tests.support.said import Said
from tests.support.world import World

REOPENED_SECONDS = 10
LARGE = 15_900_000


@pytest.fixture
async def woken(app: EngineApp) -> AsyncIterator[dict[str, int]]:
    """{collection: how often it was woken since the watcher first listened}, as the daemon watches."""
    counts = dict.fromkeys(("queues", "deals", "outbox"), 0)

    def wake(name: str, _place: Any) -> None:
        counts[name] += 1

    wakes = {name: [partial(wake, name)] for name in counts}
    task = asyncio.create_task(run_forever("watcher", partial(watch, app, wakes), pause=0.1))
    await eventually(lambda: all(counts.values()), "the change stream is open")
    counts.update(dict.fromkeys(counts, 0))
    yield counts
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def ordinary_work(world: World) -> None:
    world.db["outbox"].insert_one({"state": "waiting"})


async def test_documents_near_16_mb_do_not_end_the_stream(
    world: World, app: EngineApp, woken: dict[str, int], said: Said
) -> None:
    fill(world, "queues", world.queue("a.csv"), spare=30)
    deal = world.deal(story="x" * LARGE, automation_starts=None)
    found = world.db["deals"].find_one({"_id": deal}) or {}
    world.db["deals"].replace_one({"_id": deal}, {**found, "story": "y" * LARGE})
    world.db["deals"].update_one({"_id": deal}, {"$set": {"stage_id": ObjectId()}, "$unset": {"story": ""}})
    world.db["uploads"].insert_one({"_id": 1, "blob": "x" * LARGE})
    world.db["uploads"].update_one({"_id": 1}, {"$set": {"blob": "z" * LARGE}})
    ordinary_work(world)

    await eventually(lambda: woken["outbox"], "what came after it is seen", REOPENED_SECONDS)

    assert woken["queues"] >= 1
    assert app.changes.complete_since(world.stage)
    assert "loop.failed" not in said()


async def test_behind_an_event_over_16_mb_the_stream_is_opened_again_and_every_sweep_looks(
    world: World, app: EngineApp, woken: dict[str, int], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = app.changes._read, [OperationFailure("BSONObj size is invalid", 10334)]

    async def reads(collection: str, change: Mapping[str, Any]) -> Change:
        if failures:
            raise failures.pop()  # as the server does when it cannot return the event
        return await read(collection, change)

    monkeypatch.setattr(app.changes, "_read", reads)
    ordinary_work(world)
    await eventually(lambda: all(woken.values()), "the stream is opened again and every sweep looks", REOPENED_SECONDS)
    woken.update(dict.fromkeys(woken, 0))

    ordinary_work(world)

    await eventually(lambda: woken["outbox"], "the stream is open", REOPENED_SECONDS)
    assert woken["queues"] == 0
    assert said().count("loop.failed") == 1
