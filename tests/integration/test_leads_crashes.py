"""A process that dies at any call of a lead's run: strictly serial, nothing lost, nothing twice, rows as the truth."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pipeline_engine import failpoints
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
