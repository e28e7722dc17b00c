"""Scheduled CRM jobs on real servers without the lane between: tests decide which slot runs when."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.zones import zone_of
from pipeline_engine.repos.job_repos import JobRepos
from tests.support.world import World

Document = dict[str, Any]


@dataclass(frozen=True)
class OneStep(JobWork):
    """A slice that is over after one step."""

    _asked: list[None] = field(default_factory=list, init=False)

    @property
    def is_over(self) -> bool:
        self._asked.append(None)
        return len(self._asked) > 1


async def work_of(app: App, world: World, job: CrmJob, slot: str | None = None, steps: bool = False) -> JobWork:
    """A slice of a slot, by default the newest, of the world's account, at the time of the app's clock."""
    scope, now = app.with_repos(JobRepos.open), app.clock.now()
    account = await app.shared.accounts.get(world.account)
    profile = await scope.repos.business_profiles.get(world.account)
    zone = zone_of(profile, account)
    kind = OneStep if steps else JobWork
    return kind(scope, account, profile, zone, slot or job.schedule.slot(now, zone), now, math.inf)


async def run_job(app: App, world: World, job: CrmJob, slot: str | None = None, steps: bool = False) -> JobResult:
    """Run a slot to its end; with `steps` every slice is as short as can be. Returns the sum of what was done."""
    work, done, slices = await work_of(app, world, job, slot, steps), 0, 0
    while True:
        result = await job.run(work)
        done, slices = done + result.done, slices + 1
        if not result.more:
            return replace(result, done=done)
        assert slices < 1000, "the job does not come to an end"
        work = replace(work, cursor=result.cursor)


def move_to(app: App, moment: datetime) -> None:
    """Let the engine's clock show this time."""
    app.clock.set(moment)


def pass_time(app: App, **time: float) -> None:
    app.clock.set(app.clock.now() + timedelta(**time))


def member(world: World, role: str = "member", **fields: Any) -> ObjectId:
    """A user of the account who is in its team."""
    user = ObjectId()
    world.db["users"].insert_one({"_id": user, "account": world.account, "active": True, **fields})
    world.db["team_members"].insert_one({"account_id": world.account, "user_id": user, "role": role, "active": True})
    return user


def activity(world: World, type: str, at: datetime, **fields: Any) -> ObjectId:
    row = {"account_id": world.account, "type": type, "occurred_at": at, **fields}
    return ObjectId(world.db["activities"].insert_one(row).inserted_id)


def profile(world: World, **fields: Any) -> None:
    world.db["business_profiles"].update_one({"account_id": world.account}, {"$set": fields}, upsert=True)


def all_of(world: World, collection: str, **query: Any) -> list[Document]:
    """The account's documents, the oldest first."""
    found = world.db[collection].find({"account_id": world.account, **query})
    return list(found.sort([("createdAt", 1), ("_id", 1)]))


class Stop(Exception):
    """Raised in place of a kill."""


def stop_at(monkeypatch: Any, owner: object, name: str, when: Callable[[], bool] = lambda: True) -> None:
    """Let the method of a class raise Stop before it does anything, as if the process died there."""
    original = getattr(owner, name)

    async def method(*given: Any, **named: Any) -> Any:
        if when():
            raise Stop(name)
        return await original(*given, **named)

    monkeypatch.setattr(owner, name, method)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
