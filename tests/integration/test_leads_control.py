"""What operators do to leads: let them enter, retry, skip, cancel, pause and resume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads import control, pause_control
from pipeline_engine.errors import Permanent
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
    rows,
    stage,
    statuses,
    work,
)
from tests.support.world import World

NOTE = action("note", note="Seen")
WAIT = action("wait", seconds=3600)
BROKEN = action("owner", owner_id="me")


def notes(world: World, lead_id: ObjectId) -> int:
    return world.db["notes"].count_documents({"lead_id": lead_id})


@pytest.mark.covers("LP-02")
async def test_a_lead_enters_a_stage_by_hand_as_the_crm_does_it(app: EngineApp, world: World) -> None:
    first, second, id = stage(world, WAIT), stage(world, NOTE), lead(world)
    await control.enter(app, id, first)
    await work(app, world)
    new = await control.enter(app, id, second)
    await work(app, world)

    assert entry(world, new)["status"] == "completed"
    assert entry(world, new)["pipeline_id"] == world.pipeline
    assert lead_of(world, id)["stage_id"] == second
    assert [one["status"] for one in world.db["lead_stages"].find({"lead_id": id}).sort("_id")] == ["left", "completed"]


async def test_what_may_not_enter_is_refused_by_name(app: EngineApp, world: World) -> None:
    id, won, here = lead(world), lead(world, status="won"), stage(world)
    foreign = ObjectId()
    world.db["pipeline_stages"].insert_one({"_id": foreign, "account_id": ObjectId(), "name": "x"})
    for lead_id, stage_id, code in (
        (ObjectId(), here, "not_found"),
        (id, ObjectId(), "not_found"),
        (id, foreign, "foreign_reference"),
        (won, here, "ended"),
    ):
        with pytest.raises(Permanent) as raised:
            await control.enter(app, lead_id, stage_id)
        assert raised.value.code == code
    assert world.db["lead_stages"].count_documents({}) == 0


@pytest.mark.covers("LP-09", "LP-15")
async def test_a_failed_action_is_retried_and_the_run_goes_on_behind_it(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE, BROKEN, NOTE)
    id, run = entered(world, here)
    await work(app, world)
    assert (entry(world, run)["status"], statuses(world, run)) == ("failed", ["done", "failed", "cancelled"])

    world.db["lead_stage_actions"].update_one(
        {"lead_stage_id": run, "sequence_number": 2}, {"$set": {"config": {"owner_id": world.user}}}
    )
    position = await control.retry(app, id)
    assert (position.sequence, position.type) == (2, "owner")
    assert statuses(world, run) == ["done", "pending", "waiting"]
    assert entry(world, run)["lease_owner"] is None

    await work(app, world)
    assert (entry(world, run)["status"], statuses(world, run)) == ("completed", ["done"] * 3)
    assert (entry(world, run)["reason"], entry(world, run)["repeats"]) == (None, 1)
    assert lead_of(world, id)["owner"] == world.user
    assert notes(world, id) == 2


async def test_a_failed_action_is_skipped(app: EngineApp, world: World) -> None:
    id, run = entered(world, stage(world, BROKEN, NOTE))
    await work(app, world)
    await control.skip(app, id)
    await work(app, world)

    assert (entry(world, run)["status"], statuses(world, run)) == ("completed", ["skipped", "done"])
    assert notes(world, id) == 1


async def test_a_wait_is_skipped_and_the_last_action_completes_the_run(app: EngineApp, world: World) -> None:
    id, run = entered(world, stage(world, WAIT, WAIT))
    await work(app, world)
    before = entry(world, run)["perform_at"]
    await control.skip(app, id)
    assert (entry(world, run)["current_sequence"], entry(world, run)["perform_at"] >= before) == (2, True)
    await work(app, world)
    assert statuses(world, run) == ["skipped", "pending"]
    await control.skip(app, id)

    assert (entry(world, run)["status"], statuses(world, run)) == ("completed", ["skipped", "skipped"])


async def test_an_action_that_is_being_performed_is_not_skipped(app: EngineApp, world: World) -> None:
    id, run = entered(world, stage(world, WAIT))
    await work(app, world)
    held = {"lease_owner": "host:1:aa", "lease_until": datetime.now(UTC) + timedelta(minutes=1)}
    world.db["lead_stages"].update_one({"_id": run}, {"$set": held})

    with pytest.raises(Permanent) as raised:
        await control.skip(app, id)
    assert raised.value.code == "busy"
    await control.cancel(app, id)  # which takes the run from whoever holds it
    assert entry(world, run)["status"] == "cancelled"


async def test_a_run_is_cancelled_with_what_is_scheduled(app: EngineApp, world: World) -> None:
    id, run = entered(world, stage(world, NOTE, WAIT, NOTE))
    await work(app, world)
    await control.cancel(app, id)
    await later(app, world, hours=2)

    assert (entry(world, run)["status"], entry(world, run)["reason"]) == ("cancelled", "cancelled by an operator")
    assert statuses(world, run) == ["done", "cancelled", "cancelled"]
    assert notes(world, id) == 1


async def test_what_cannot_be_done_is_refused(app: EngineApp, world: World) -> None:
    never, (done, _) = lead(world), entered(world, stage(world, NOTE))
    waiting, _ = entered(world, stage(world, WAIT))
    await work(app, world)
    for command, ids in (
        (control.retry, (never, done, waiting)),
        (control.skip, (never, done)),
        (control.cancel, (never, done)),
    ):
        for id in ids:
            with pytest.raises(Permanent) as raised:
                await command(app, id)
            assert raised.value.code == "ended"
        with pytest.raises(Permanent) as raised:
            await command(app, ObjectId())
        assert raised.value.code == "not_found"


async def test_a_stage_is_paused_and_resumed(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE)
    await pause_control.pause(app, "stage", here, "extend", None)
    id, run = entered(world, here)
    await work(app, world)
    assert notes(world, id) == 0

    await pause_control.resume(app, "stage", here)
    await later(app, world, minutes=2)
    assert (notes(world, id), entry(world, run)["status"]) == (1, "completed")
    assert "automation_paused" not in (world.db["pipeline_stages"].find_one({"_id": here}) or {})


async def test_a_pause_lengthens_the_waits_that_it_meets_or_leaves_them(app: EngineApp, world: World) -> None:
    longer, same = stage(world, WAIT), stage(world, WAIT)
    _, first = entered(world, longer)
    _, second = entered(world, same)
    await work(app, world)
    due = {run: entry(world, run)["perform_at"] for run in (first, second)}
    await pause_control.pause(app, "stage", longer, "extend", None)
    await pause_control.pause(app, "stage", same, "keep", None)
    app.clock.set(app.clock.now() + timedelta(minutes=30))
    await pause_control.resume(app, "stage", longer)
    await pause_control.resume(app, "stage", same)
    await work(app, world)

    extended = entry(world, first)["perform_at"] - due[first]
    assert timedelta(minutes=30) <= extended < timedelta(minutes=31)
    assert entry(world, second)["perform_at"] == due[second]


@pytest.mark.parametrize("scope", ["pipeline", "account"])
async def test_pipelines_and_accounts_are_paused_for_a_time(app: EngineApp, world: World, scope: str) -> None:
    where: pause_control.Scope = "pipeline" if scope == "pipeline" else "account"
    id = world.pipeline if scope == "pipeline" else world.account
    held = await pause_control.pause(app, where, id, "keep", timedelta(hours=1))
    assert held.until
    _, run = entered(world, stage(world, NOTE))
    await work(app, world)
    assert entry(world, run)["status"] in ("entering", "active")

    await later(app, world, hours=2)
    await later(app, world, minutes=2)
    assert entry(world, run)["status"] == "completed"


async def test_a_pause_that_is_not_well_formed_holds_until_it_is_resumed(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE)
    world.db["pipeline_stages"].update_one({"_id": here}, {"$set": {"automation_paused": True}})
    _, run = entered(world, here)
    await work(app, world)
    assert entry(world, run)["status"] in ("entering", "active")

    await pause_control.resume(app, "stage", here)
    await later(app, world, minutes=2)
    assert entry(world, run)["status"] == "completed"


async def test_a_second_pause_keeps_the_beginning_of_the_first(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE)
    first = await pause_control.pause(app, "stage", here, "extend", None)
    second = await pause_control.pause(app, "stage", here, "keep", timedelta(hours=1))
    assert (second.since - first.since) < timedelta(milliseconds=1)
    assert (second.until is not None, second.waits) == (True, "keep")


async def test_what_is_not_paused_or_not_there_is_refused(app: EngineApp, world: World) -> None:
    for id, code in ((stage(world), "not_paused"), (ObjectId(), "not_found")):
        with pytest.raises(Permanent) as raised:
            await pause_control.resume(app, "stage", id)
        assert raised.value.code == code


@pytest.mark.covers("LP-X5")
async def test_a_lead_that_enters_again_by_hand_begins_anew(app: EngineApp, world: World) -> None:
    here = stage(world, NOTE, WAIT)
    id, first = entered(world, here)
    await work(app, world)
    enter(world, here, id)
    await work(app, world)

    assert entry(world, first)["status"] == "cancelled"
    assert statuses(world, last_entry(world, id)["_id"]) == ["done", "pending"]
    assert len(rows(world, first)) == 2
