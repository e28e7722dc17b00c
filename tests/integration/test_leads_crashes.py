"""A process that dies at any call of a lead's run: strictly serial, nothing lost, nothing twice, rows as the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline_engine import failpoints
from pipeline_engine.domain.leads import batch, repair
from pipeline_engine.domain.leads import settle as settling
from pipeline_engine.domain.leads.ending import end_runs
from pipeline_engine.domain.leads.run import run_enter, run_internal
from pipeline_engine.domain.leads.schedule import RunEnd
from pipeline_engine.domain.leads.settle import Write
from pipeline_engine.domain.leads.turns import Turns
from pipeline_engine.domain.leads.work import Entry, Slice
from pipeline_engine.failpoints import FaultPlan
from tests.support.engine_app import EngineApp
from tests.support.leads import action, enter, entry, lead, lead_of, rows, stage, statuses, work
from tests.support.world import World

POINTS = [
    ("mongo.lead_stage_actions.insert_many", 1),
    ("mongo.leads.bulk", 1),
    ("mongo.lead_stages.update_many", 1),
    ("mongo.lead_stages.update_many", 2),
    ("mongo.lead_stages.update_many", 3),
    ("mongo.lead_stages.update_many", 5),
    ("mongo.lead_stages.update_many", 7),
    ("mongo.lead_stages.insert_many", 1),
    ("mongo.notes.insert_many", 1),
    ("mongo.leads.update_many", 1),
    ("mongo.lead_stage_actions.update_many", 1),
    ("mongo.lead_stage_actions.update_many", 3),
]


class Died(BaseException):
    """Stands for the end of the process: no handler of the engine catches it."""


async def die_at(
    point: str, nth: int, when: str, app: EngineApp, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work until the process dies at this call, and let its leases run out."""

    async def die(_plan: FaultPlan) -> None:
        raise Died

    monkeypatch.setattr(failpoints, "_inject", die)
    plan = {"failpoint": point, "do": "kill", "when": when, "nth": nth}
    failpoints.arm(msgspec.json.encode(plan).decode(), None)
    try:
        with pytest.raises(Died):
            await work(app, world)
    finally:
        failpoints.disarm()
    past = datetime.now(UTC) - timedelta(minutes=1)
    world.db["lead_stages"].update_many({"lease_owner": {"$gt": ""}}, {"$set": {"lease_until": past}})


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
@pytest.mark.covers("LP-03", "LP-15", "LP-X3")
async def test_a_run_goes_on_after_a_crash_at_any_call(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    there = stage(world, action("note", note="there"))
    here = stage(world, action("note", note="here"), action("add_tag", tag="x"), action("move", stage_id=there))
    leads = [lead(world) for _ in range(3)]
    entries = enter(world, here, *leads)

    await die_at(point, nth, when, app, world, monkeypatch)
    await work(app, world)

    assert Counter(note["text"] for note in world.db["notes"].find()) == {"here": 3, "there": 3}
    for id, first in zip(leads, entries, strict=True):
        both = list(world.db["lead_stages"].find({"lead_id": id}))
        assert sorted(one["status"] for one in both) == ["completed", "left"]
        assert {one["lease_owner"] for one in both} == {None}
        assert statuses(world, first)[:2] == ["done", "done"]
        times = [row["performed_at"] for row in rows(world, first)[:2]]
        assert times == sorted(times)
        assert not {row["status"] for one in both for row in rows(world, one["_id"])} & {
            "pending",
            "waiting",
            "running",
        }
        assert (lead_of(world, id)["tags"], lead_of(world, id)["stage_id"]) == (["x"], there)
        assert entry(world, first)["status"] == "left"


@pytest.mark.covers("LP-03", "LP-X3")
async def test_a_row_of_a_run_that_another_job_has_ended_stays_as_that_job_wrote_it(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry that a move made is let in, which ends the run, while a job has just claimed that run anew."""
    here = stage(
        world, action("note", note="here"), action("move", stage_id=stage(world, action("note", note="there")))
    )
    (first,) = enter(world, here, lead(world))

    await die_at("mongo.lead_stages.insert_many", 1, "after", app, world, monkeypatch)

    async def after_the_other_job(slice: Slice, entries: Sequence[Entry]) -> None:
        monkeypatch.setattr(batch, "follow_truth", repair.follow_truth)
        await run_enter(app, Turns(), world.account)
        await repair.follow_truth(slice, entries)

    monkeypatch.setattr(batch, "follow_truth", after_the_other_job)
    await app.heartbeat.beat()
    await run_internal(app, Turns(), world.account)
    assert (entry(world, first)["status"], statuses(world, first)) == ("left", ["done", "done"])


@pytest.mark.covers("LP-15")
async def test_the_next_row_of_a_run_that_an_exit_has_ended_stays_cancelled(
    world: World, app: EngineApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit comes between the write that moves the run on and the rows that follow it."""
    (first,) = enter(world, stage(world, action("note", note="x"), action("wait", seconds=60)), lead(world))
    follow = settling._follow

    async def after_the_exit(slice: Slice, write: Write, ids: Sequence[Any], now: datetime, is_now: bool) -> None:
        await end_runs(app, world.account, ids, RunEnd("cancelled", "replied"))
        await follow(slice, write, ids, now, is_now)

    monkeypatch.setattr(settling, "_follow", after_the_exit)
    await work(app, world)
    assert (entry(world, first)["status"], statuses(world, first)) == ("cancelled", ["done", "cancelled"])
