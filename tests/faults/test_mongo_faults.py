"""MongoDB steps down, stops, dies or hangs in mid-import: the daemon waits, and the import goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from pymongo import MongoClient

from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.ports import free_ports
from tests.support.drills.drill import Drill
from tests.support.drills.history import MAX_ORPHANED_AFTER_OUTAGE
from tests.support.drills.imports.csv_file import csv_file
from tests.support.drills.imports.plan import ImportDrill, ImportPlan

ROWS = 4_000
CHUNKS = 200
SETTINGS = {"IMPORT_CHUNK_ROWS": str(ROWS // CHUNKS)}
STEPPED_DOWN = 3

Outage = Callable[[Mongo], Awaitable[None]]


@pytest.fixture
async def mongo_drill(environment: dict[str, str], own_mongo: Mongo, tmp_path: Path) -> AsyncIterator[ImportDrill]:
    async with Drill(ImportPlan(), {**environment, "MONGO_URL": own_mongo.url, **SETTINGS}, tmp_path) as drill:
        yield drill


async def steps_down(mongo: Mongo) -> None:
    """Alone in its set, it becomes primary again when it may."""
    with MongoClient[dict[str, Any]](mongo.url) as client:
        client.admin.command("replSetStepDown", STEPPED_DOWN, secondaryCatchUpPeriodSecs=0, force=True)


async def stops(mongo: Mongo) -> None:
    await mongo.stop()


async def dies(mongo: Mongo) -> None:
    await mongo.stop(patience=0)


async def starts(mongo: Mongo) -> None:
    await mongo.start()


async def freezes(mongo: Mongo) -> None:
    mongo.program.pause()


async def thaws(mongo: Mongo) -> None:
    mongo.program.resume()


async def nothing(_mongo: Mongo) -> None:
    return


OUTAGES: list[tuple[Outage, Outage, float]] = [(steps_down, nothing, 0)]
MORE_OUTAGES: list[tuple[Outage, Outage, float]] = [
    (stops, starts, 5),
    (stops, starts, 30),
    (dies, starts, 5),
    (freezes, thaws, 5),
]


def _name(part: object) -> str:
    return getattr(part, "__name__", str(part))


@pytest.mark.parametrize(
    ("outage", "end", "seconds"),
    [*OUTAGES, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE_OUTAGES)],
    ids=_name,
)
async def test_an_import_goes_on_after_an_outage(
    mongo_drill: ImportDrill, own_mongo: Mongo, outage: Outage, end: Outage, seconds: float, figure: list[str]
) -> None:
    drill = mongo_drill
    queue_id = drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started()
    await drill.progress(CHUNKS // 10)

    await outage(own_mongo)
    await drill.outlast(daemon, seconds)
    await end(own_mongo)
    done = drill.plan.done()
    went_on = await drill.progress(done + 1)
    assert done < CHUNKS, "the import was over before the outage"

    await drill.come_to_rest(timeout=60)
    drill.check(MAX_ORPHANED_AFTER_OUTAGE + timedelta(seconds=seconds))
    assert daemon.alive
    attempts = drill.world.import_of(queue_id)["attempts"]
    figure.append(f"went on after {went_on:.1f} s, attempts {attempts}, nothing lost")
    assert attempts == 1


@pytest.mark.slow
async def test_a_daemon_drains_unready_and_ends_in_time_while_mongodb_hangs(
    mongo_drill: ImportDrill, own_mongo: Mongo, figure: list[str]
) -> None:
    port = free_ports(1)[0]
    drill = mongo_drill
    drill.plan.plant(csv_file(ROWS))
    daemon = await drill.started(HTTP_ENABLED="true", HTTP_PORT=str(port))
    await drill.progress(CHUNKS // 10)

    await freezes(own_mongo)
    try:
        ending = asyncio.create_task(daemon.terminate(within=25))
        await drill.until(lambda: bool(daemon.said("daemon.stop_requested")), "the daemon drains")
        assert await readiness(port) == (503, {"daemon": "draining"})
        seconds = await ending
    finally:
        await thaws(own_mongo)
    figure.append(f"ended {seconds:.1f} s after SIGTERM")
    assert daemon.exit_code == 0


async def readiness(port: int) -> tuple[int, dict[str, str]]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as response:
        return response.status, await response.json()
