"""Scheduled jobs on real servers without the lanes between: a test runs a slice of a job for one account."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.jobs.crm_job import JobResult, JobWork
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.world import World

Document = dict[str, Any]
Run = Callable[[JobWork], Awaitable[JobResult]]
SLICE_SECONDS = 60.0


def work(app: App, world: World, **fields: Any) -> JobWork:
    """A slice of the account of `world`; fields of `JobWork` may be given."""
    jobs = app.with_repos(JobRepos.open)
    account: Document = {"_id": world.account, "active": True}
    now = app.clock.now()
    until = time.monotonic() + SLICE_SECONDS
    given: Document = {"app": jobs, "account": account, "profile": {}, "zone": ZoneInfo("UTC"), "now": now}
    return JobWork(**{**given, "slot": now.date().isoformat(), "until": until, **fields})


async def finish(run: Run, app: App, world: World, **fields: Any) -> JobResult:
    """Slices of the job until it says that it is done; their counts together."""
    done = failed = 0
    cursor: Document = {}
    while True:
        await app.heartbeat.beat()  # no heartbeat runs here
        result = await run(work(app, world, **{"cursor": cursor, **fields}))
        done, failed, cursor = done + result.done, failed + result.failed, result.cursor
        if not result.more:
            return JobResult(done, failed)


def contact(world: World, email: object, **fields: Any) -> ObjectId:
    own = {"account_id": world.account, "email": email, "createdAt": datetime.now(UTC)}
    return ObjectId(world.db["contacts"].insert_one({**own, **fields}).inserted_id)


def stored(world: World, collection: str, id: object) -> Document:
    found = world.db[collection].find_one({"_id": id})
    assert found
    return found


def events(world: World, type: str) -> list[Document]:
    return list(world.db["crm_events"].find({"type": type}).sort("_id"))
