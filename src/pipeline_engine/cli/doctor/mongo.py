"""MongoDB: whether it answers, its clock, its indexes, and the work in it that needs somebody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError

from pipeline_engine.app import open_mongo
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import EngineError
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.indexes import missing_indexes
from pipeline_engine.repos.job_store import MongoJobStore
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.stuck import stuck_work
from pipeline_engine.settings import Settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

    Database = AsyncIOMotorDatabase[Document]

MOST_SKEW = 5.0
"""Seconds that this host's clock may differ from the server's."""


async def check(settings: Settings) -> list[Finding]:
    async with AsyncExitStack() as stack:
        try:
            database = await open_mongo(settings, stack)
        except EngineError as error:
            return [Finding.failure("MongoDB", str(error))]
        return [
            finding for ask in (_server, _clock, _indexes, _stuck, _letters) for finding in await _told(ask, database)
        ]


async def _told(ask: Callable[[Database], Awaitable[list[Finding]]], database: Database) -> list[Finding]:
    try:
        return await ask(database)
    except PyMongoError as error:
        return [Finding.failure("MongoDB", f"{ask.__name__.strip('_')}: {type(error).__name__}: {error}")]


async def _server(database: Database) -> list[Finding]:
    version = (await database.command("buildInfo"))["version"]
    told = f"{version}, database {database.name}"
    if await Server(database).has_change_streams():
        return [Finding.ok("MongoDB", f"{told}, change streams")]
    return [Finding.warning("MongoDB", f"{told}, standalone: no change streams, work is found by the timetable alone")]


async def _clock(database: Database) -> list[Finding]:
    before = datetime.now(UTC)
    server = await Server(database).now()
    skew = clock_skew(before, server, datetime.now(UTC))
    if abs(skew) <= MOST_SKEW:
        return [Finding.ok("clock", f"within {MOST_SKEW:g} s of MongoDB's server")]
    direction = "ahead of" if skew > 0 else "behind"
    return [Finding.warning("clock", f"this host is {abs(skew):.1f} s {direction} MongoDB's server")]


def clock_skew(before: datetime, server: datetime, after: datetime) -> float:
    """Seconds by which this host is ahead of a server that was asked between the two; what the call took proves no
    difference."""
    if before <= server <= after:
        return 0.0
    return ((after if server > after else before) - server).total_seconds()


async def _indexes(database: Database) -> list[Finding]:
    missing = await missing_indexes(database)
    if missing:
        told = f"missing: {', '.join(missing)}; `indexes`, or the start of a daemon, creates them"
        return [Finding.warning("indexes", told)]
    return [Finding.ok("indexes", "all there")]


async def _stuck(database: Database) -> list[Finding]:
    found = await stuck_work(database)
    told = [f"{stuck.count} {stuck.matter} in {stuck.collection}: {', '.join(stuck.ids)}" for stuck in found]
    return [Finding.warning("stuck work", line) for line in told] or [Finding.ok("stuck work", "none")]


async def _letters(database: Database) -> list[Finding]:
    count = await MongoJobStore(database, Clock()).count_dead()
    if count:
        return [Finding.warning("dead letters", f"{count} wait for somebody: see `dlq`")]
    return [Finding.ok("dead letters", "none")]
