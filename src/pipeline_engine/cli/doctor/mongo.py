"""MongoDB: whether it answers, its clock, its indexes, and the work in it that needs an operator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError

from pipeline_engine import workers
from pipeline_engine.app import Specs, open_mongo, reason_of
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import EngineError
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.indexes import missing_indexes
from pipeline_engine.repos.job_store import MongoJobStore
from pipeline_engine.repos.quarantine import QUARANTINE
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.stuck import stuck_work
from pipeline_engine.settings import Settings

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

    Database = AsyncIOMotorDatabase[Document]

MAX_SKEW_SECONDS = 5.0
"""How far this host's clock may be from the server's."""


async def check(settings: Settings) -> list[Finding]:
    """Every finding; ends at the first check during which MongoDB stops to answer."""
    findings: list[Finding] = []
    async with AsyncExitStack() as stack:
        try:
            database = await open_mongo(settings, stack)
            for subject, ask in CHECKS.items():
                findings += await _findings(subject, ask, database, workers.collections(settings))
        except EngineError as error:
            findings.append(Finding.failure("MongoDB", str(error)))
        except PyMongoError as error:
            findings.append(Finding.failure("MongoDB", f"does not answer any more: {reason_of(error)}: start it again"))
    return findings


async def _findings(
    subject: str, ask: Callable[[Database, Specs], Awaitable[list[Finding]]], database: Database, specs: Specs
) -> list[Finding]:
    try:
        return await ask(database, specs)
    except PyMongoError as error:
        if is_away(error):
            raise
        return [Finding.failure(subject, f"MongoDB refuses a command: {reason_of(error)}: correct the user's rights")]


async def _server(database: Database, _specs: Specs) -> list[Finding]:
    version = (await database.command("buildInfo"))["version"]
    server = f"{version}, database {database.name}"
    if await Server(database).has_change_streams():
        return [Finding.ok("MongoDB", f"{server}, change streams")]
    standalone = "standalone: no change streams, so daemons find work by the timetable alone"
    return [Finding.warning("MongoDB", f"{server}, {standalone}; make it a replica set")]


async def _clock(database: Database, _specs: Specs) -> list[Finding]:
    before = datetime.now(UTC)
    server = await Server(database).now()
    skew = clock_skew(before, server, datetime.now(UTC))
    if abs(skew) <= MAX_SKEW_SECONDS:
        return [Finding.ok("clock", f"within {MAX_SKEW_SECONDS:g} s of MongoDB's server")]
    direction = "ahead of" if skew > 0 else "behind"
    return [Finding.warning("clock", f"this host is {abs(skew):.1f} s {direction} MongoDB's server: set up NTP")]


def clock_skew(before: datetime, server: datetime, after: datetime) -> float:
    """Seconds by which this host's clock is ahead of the server's, which was read between `before` and `after`.

    The time that the call took counts as no difference.
    """
    if before <= server <= after:
        return 0.0
    return ((after if server > after else before) - server).total_seconds()


async def _indexes(database: Database, specs: Specs) -> list[Finding]:
    missing = await missing_indexes(database, specs)
    if missing:
        text = "`indexes`, or a daemon within a minute, creates them; `indexes` says which documents clash"
        return [Finding.failure("indexes", f"missing: {', '.join(missing)}; {text}")]
    return [Finding.ok("indexes", "all there")]


async def _stuck(database: Database, specs: Specs) -> list[Finding]:
    found = await stuck_work(database, specs)
    lines = [f"{stuck.count} {stuck.problem} in {stuck.collection}: {', '.join(stuck.ids)}" for stuck in found]
    return [Finding.warning("stuck work", line) for line in lines] or [Finding.ok("stuck work", "none")]


async def _dead_letters(database: Database, _specs: Specs) -> list[Finding]:
    count = await MongoJobStore(database, Clock()).count_dead()
    if count:
        return [Finding.warning("dead letters", f"{count} to be retried or discarded: see `dlq`")]
    return [Finding.ok("dead letters", "none")]


async def _quarantine(database: Database, _specs: Specs) -> list[Finding]:
    count = await database[QUARANTINE.name].count_documents({})
    if count:
        text = f"{count} documents cannot be claimed, decoded or ended: `quarantine list` says why"
        return [Finding.failure("quarantine", f"{text}; mend each, then `quarantine release ID`")]
    return [Finding.ok("quarantine", "empty")]


CHECKS = {
    "MongoDB": _server,
    "clock": _clock,
    "indexes": _indexes,
    "stuck work": _stuck,
    "quarantine": _quarantine,
    "dead letters": _dead_letters,
}
