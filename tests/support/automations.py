"""Automations on real servers without the lanes between: tests decide which slice runs when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.automations import sweep
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.lanes import Outcome, Snooze
from tests.support.engine_app import EngineApp
from tests.support.world import World

Document = dict[str, Any]


def ago(**time: float) -> datetime:
    """To the millisecond, as MongoDB keeps it."""
    moment = datetime.now(UTC) - timedelta(**time)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def timed(values: Mapping[str, Any]) -> Document:
    """The values, with every timedelta as the moment so long before now: parameters of tests are made too early."""
    return {
        name: ago(seconds=value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in values.items()
    }


async def due(app: EngineApp) -> set[ObjectId]:
    """What a sweep finds."""
    return {ObjectId(unit.id) for unit in await sweep.find(app)}


async def run(app: EngineApp, automation: ObjectId) -> list[float]:
    """Slice after slice until the run has ended, however long each wants to rest; returns the rests in seconds.

    The clock is moved instead of waiting.
    """
    rests = []
    while isinstance(outcome := await _slice(app, automation), Snooze):
        rests.append(outcome.after)
        app.clock.set(app.clock.now() + timedelta(seconds=outcome.after + 0.001))
        assert len(rests) < 50, "the run does not end"
    return rests


async def _slice(app: EngineApp, automation: ObjectId) -> Outcome | None:
    await app.heartbeat.beat()  # no heartbeat runs here
    return await run_slice(app, None, automation)


async def work_off(app: EngineApp) -> set[ObjectId]:
    """A sweep and every run that it finds."""
    found = await due(app)
    for automation in sorted(found):
        await run(app, automation)
    return found


def deal_of(world: World, id: ObjectId) -> Document:
    found = world.db["deals"].find_one({"_id": id})
    assert found
    return found


def automation_of(world: World, id: ObjectId) -> Document:
    found = world.db["automations"].find_one({"_id": id})
    assert found
    return found


def logs_of(world: World, automation: ObjectId) -> list[Document]:
    return list(world.db["automation_logs"].find({"automation": automation}).sort("_id"))


def tagged(world: World, tag: ObjectId) -> set[ObjectId]:
    return {deal["_id"] for deal in world.db["deals"].find({"tags": tag})}
