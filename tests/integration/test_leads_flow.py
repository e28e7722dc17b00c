"""Lead pipelines from the entry of a lead to the end of its run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads.run import run_enter
from pipeline_engine.domain.leads.turns import Turns
from tests.support.engine_app import EngineApp
from tests.support.leads import (
    action,
    enter,
    entered,
    entry,
    last_entry,
    later,
    lead,
    lead_of,
    put_actions,
    rows,
    stage,
    statuses,
    work,
)
from tests.support.world import World


@pytest.mark.covers("LP-01", "LP-02", "LP-03", "LP-06")
async def test_the_actions_of_a_stage_are_done_one_after_the_other(world: World, app: EngineApp) -> None:
    person = ObjectId()
    world.db["users"].insert_one({"_id": person, "account": world.account, "active": True})
    here = stage(
        world,
        action("note", note="Hello"),
        action("add_tag", tags=["new", "hot"]),
        action("remove_tag", tag="new"),
        action("owner", owner_id=person),
    )
    id, entry_id = entered(world, here)

    await work(app, world)

    assert statuses(world, entry_id) == ["done"] * 4
    times = [row["performed_at"] for row in rows(world, entry_id)]
    assert times == sorted(times)
    found = entry(world, entry_id)
    assert (found["status"], found["lease_owner"]) == ("completed", None)
    changed = lead_of(world, id)
    assert (changed["tags"], changed["owner"], changed["stage_id"]) == (["hot"], person, here)
    (note,) = world.db["notes"].find({"lead_id": id})
    assert (note["text"], note["account_id"]) == ("Hello", world.account)


async def test_few_leads_have_their_first_actions_in_the_job_that_lets_them_in(world: World, app: EngineApp) -> None:
    here = stage(world, action("add_tag", tag="x"), action("wait", seconds=60))
    id, entry_id = entered(world, here)
    await app.heartbeat.beat()

    await run_enter(app, Turns(), world.account)

    assert (lead_of(world, id)["tags"], statuses(world, entry_id)) == (["x"], ["done", "pending"])


async def test_a_lead_that_is_moved_into_another_pipeline_is_in_it(world: World, app: EngineApp) -> None:
    pipeline = ObjectId()
    there = stage(world, pipeline_id=pipeline)
    id, _ = entered(world, stage(world, action("move", stage_id=there)))
    await work(app, world)
    assert [lead_of(world, id)[name] for name in ("stage_id", "pipeline_id")] == [there, pipeline]


@pytest.mark.covers("LP-02")
async def test_an_edit_of_the_stage_does_not_change_leads_on_their_way(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=60), action("add_tag", tag="old"))
    id, _ = entered(world, here)
    await work(app, world)

    world.db["pipeline_stage_actions"].delete_many({})
    put_actions(world, here, action("add_tag", tag="new"))
    await later(app, world, seconds=61)

    assert lead_of(world, id)["tags"] == ["old"]


@pytest.mark.covers("LP-05", "LP-06")
async def test_nothing_happens_while_a_lead_waits(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=60), action("add_tag", tag="late"))
    id, entry_id = entered(world, here)

    await work(app, world)
    assert statuses(world, entry_id) == ["pending", "waiting"]
    await later(app, world, seconds=30)
    assert lead_of(world, id)["tags"] == []

    await later(app, world, seconds=31)
    assert lead_of(world, id)["tags"] == ["late"]


@pytest.mark.covers("LP-05")
async def test_a_wait_until_a_time_of_day_is_over_at_that_time_in_the_zone_of_the_lead(
    world: World, app: EngineApp
) -> None:
    here = stage(world, action("wait", until="09:00", zone="lead"), action("add_tag", tag="morning"))
    _, entry_id = entered(world, here, timezone="Asia/Tokyo")

    await work(app, world)

    due: datetime = entry(world, entry_id)["perform_at"].astimezone(UTC)
    assert (due.hour, due.minute) == (0, 0)  # Tokyo is nine hours ahead
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(days=1)


@pytest.mark.covers("LP-04")
async def test_a_move_takes_the_lead_to_the_other_stage(world: World, app: EngineApp) -> None:
    there = stage(world, action("add_tag", tag="there"))
    here = stage(world, action("move", stage_id=there), action("add_tag", tag="never"))
    id, entry_id = entered(world, here)

    await work(app, world)

    assert (entry(world, entry_id)["status"], statuses(world, entry_id)) == ("left", ["done", "cancelled"])
    second = last_entry(world, id)
    assert (second["stage_id"], second["status"], second["moves"]) == (there, "completed", 1)
    assert (lead_of(world, id)["tags"], lead_of(world, id)["stage_id"]) == (["there"], there)


@pytest.mark.parametrize("outcome", ["won", "lost"])
@pytest.mark.covers("LP-04")
async def test_a_move_to_an_outcome_ends_the_run(world: World, app: EngineApp, outcome: str) -> None:
    here = stage(world, action("move", outcome=outcome), action("add_tag", tag="never"))
    id, entry_id = entered(world, here)

    await work(app, world)

    found = entry(world, entry_id)
    assert (found["status"], found["reason"]) == ("completed", outcome)
    assert (lead_of(world, id)["status"], lead_of(world, id)["tags"]) == (outcome, [])
    assert statuses(world, entry_id) == ["done", "cancelled"]


async def test_a_circle_of_moves_without_a_wait_is_stopped(world: World, app: EngineApp) -> None:
    here, there = ObjectId(), ObjectId()
    put_actions(world, here, action("move", stage_id=there))
    put_actions(world, there, action("move", stage_id=here))
    id, _ = entered(world, here)

    await work(app, world, rounds=30)

    last = world.db["lead_stages"].find_one({"lead_id": id, "status": "failed"})
    assert last
    assert "moved 20 times in a row" in last["reason"]
    assert world.db["lead_stages"].count_documents({"lead_id": id}) == 21


@pytest.mark.covers("LP-X5")
async def test_a_lead_that_enters_again_begins_anew(world: World, app: EngineApp) -> None:
    here = stage(world, action("add_tag", tag="seen"), action("wait", seconds=60), action("note", note="x"))
    there = stage(world, action("wait", seconds=60))
    id, first = entered(world, here)
    await work(app, world)

    (second,) = enter(world, here, id)
    await work(app, world)
    (third,) = enter(world, there, id)
    await work(app, world)

    assert (entry(world, first)["status"], statuses(world, first)) == ("cancelled", ["done", "cancelled", "cancelled"])
    assert (entry(world, second)["status"], entry(world, third)["status"]) == ("left", "active")
    assert lead_of(world, id)["stage_id"] == there


async def test_a_stage_without_actions_is_completed_at_once(world: World, app: EngineApp) -> None:
    _, entry_id = entered(world, stage(world))

    await work(app, world)

    assert entry(world, entry_id)["status"] == "completed"


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("note", {}, "note"),
    ("note", {"note": "x", "colour": "red"}, "colour"),
    ("dance", {}, "no such type"),
    ("owner", {"owner_id": "nobody"}, "owner_id"),
    ("wait", {"seconds": "long"}, "seconds"),
]


@pytest.mark.parametrize(("type", "config", "word"), BAD)
@pytest.mark.covers("LP-15")
async def test_an_action_that_cannot_be_read_stops_the_run_and_says_why(
    world: World, app: EngineApp, type: str, config: dict[str, Any], word: str
) -> None:
    here = stage(world, action(type, **config), action("add_tag", tag="never"))
    id, entry_id = entered(world, here)

    await work(app, world)

    found = entry(world, entry_id)
    assert found["status"] == "failed"
    assert word in found["reason"]
    assert statuses(world, entry_id) == ["failed", "cancelled"]
    assert word in rows(world, entry_id)[0]["last_error"]
    assert lead_of(world, id)["tags"] == []


async def test_a_lead_that_does_not_exist_fails_alone(world: World, app: EngineApp) -> None:
    here = stage(world, action("add_tag", tag="x"))
    gone, there = ObjectId(), lead(world)
    first, second = enter(world, here, gone, there)

    await work(app, world)

    assert (entry(world, first)["status"], entry(world, second)["status"]) == ("failed", "completed")


async def test_what_belongs_to_another_account_is_refused(world: World, app: EngineApp) -> None:
    other = world.neighbour()
    foreign = stage(other, action("add_tag", tag="x"))
    _, entry_id = entered(world, stage(world, action("move", stage_id=foreign)))

    await work(app, world)

    assert entry(world, entry_id)["status"] == "failed"
    assert "another account" in entry(world, entry_id)["reason"]
    other.close()


async def test_a_malformed_entry_fails_alone(world: World, app: EngineApp) -> None:
    here = stage(world, action("add_tag", tag="x"))
    own = {"account_id": world.account, "status": "entering", "stage_id": here}
    bad = [own, {**own, "lead_id": "nobody"}, {**own, "lead_id": ObjectId(), "stage_id": 7}]
    ids = world.db["lead_stages"].insert_many([dict(one) for one in bad]).inserted_ids
    _, entry_id = entered(world, here)

    await work(app, world)

    assert {entry(world, one)["status"] for one in ids} == {"failed"}
    assert entry(world, entry_id)["status"] == "completed"


@pytest.mark.covers("LP-10")
async def test_every_type_can_be_limited(world: World, app: EngineApp) -> None:
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"limits": {"add_tag": 2}}})
    here = stage(world, action("note", note="x"), action("add_tag", tag="x"))
    entries = enter(world, here, *(lead(world) for _ in range(5)))

    await work(app, world)

    assert sorted(entry(world, one)["status"] for one in entries) == ["active"] * 3 + ["completed"] * 2
    assert world.db["notes"].count_documents({}) == 5
