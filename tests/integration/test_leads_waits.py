"""Waits for replies and tasks, and what ends a run from outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.leads.run import run_internal
from pipeline_engine.domain.leads.turns import Turns
from tests.support.engine_app import EngineApp
from tests.support.leads import (
    action,
    entered,
    entry,
    last_entry,
    later,
    lead_of,
    reply,
    stage,
    statuses,
    work,
)
from tests.support.world import World

Branch = Any


def waiting(world: World, on_response: Branch = "continue", on_timeout: Branch = "stop", **config: Any) -> ObjectId:
    """A stage that waits a minute for a reply."""
    branches = {"on_response": on_response, "on_timeout": on_timeout}
    wait = action("wait_for_response", **{"channel": "email", "timeout_seconds": 60, **branches, **config})
    return stage(world, action("add_tag", tag="sent"), wait, action("add_tag", tag="went on"))


@pytest.mark.covers("LP-05", "LP-X4")
async def test_a_reply_ends_the_wait_at_once(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, waiting(world))
    await work(app, world)
    assert statuses(world, entry_id) == ["done", "waiting_response", "waiting"]

    reply(world, id)
    await work(app, world)

    assert statuses(world, entry_id) == ["done"] * 3
    assert lead_of(world, id)["tags"] == ["sent", "went on"]
    assert world.db["lead_responses"].count_documents({"handled_at": None}) == 0


@pytest.mark.parametrize(
    ("fields", "channel"), [({"auto": True}, "email"), ({}, "sms")], ids=["automatic", "another channel"]
)
@pytest.mark.covers("LP-X4")
async def test_what_is_no_reply_does_not_end_the_wait(
    world: World, app: EngineApp, fields: dict[str, Any], channel: str
) -> None:
    id, entry_id = entered(world, waiting(world))
    await work(app, world)

    reply(world, id, channel, **fields)
    await work(app, world)

    assert entry(world, entry_id)["current_status"] == "waiting_response"
    assert world.db["lead_responses"].count_documents({"handled_at": None}) == 0


async def test_an_older_reply_does_not_end_the_wait(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, waiting(world))
    reply(world, id, received_at=datetime.now(UTC) - timedelta(hours=1))

    await work(app, world)

    assert entry(world, entry_id)["current_status"] == "waiting_response"


@pytest.mark.covers("LP-X4")
async def test_a_reply_that_came_while_the_action_before_still_ran_counts(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, waiting(world))
    reply(world, id, received_at=datetime.now(UTC) + timedelta(seconds=30))  # it is handled before the wait has begun
    world.db["lead_responses"].update_many({}, {"$set": {"handled_at": datetime.now(UTC)}})

    await work(app, world)

    assert entry(world, entry_id)["status"] == "completed"


@pytest.mark.covers("LP-05", "LP-X4")
async def test_without_a_reply_the_time_out_decides(world: World, app: EngineApp) -> None:
    there = stage(world, action("add_tag", tag="silent"))
    id, entry_id = entered(world, waiting(world, on_timeout={"move": there}))
    await work(app, world)

    await later(app, world, seconds=61)

    assert (entry(world, entry_id)["status"], statuses(world, entry_id)) == ("left", ["done", "done", "cancelled"])
    assert lead_of(world, id)["tags"] == ["sent", "silent"]


@pytest.mark.parametrize("branch", ["stop", "move"])
async def test_a_reply_can_move_the_lead_or_stop_the_run(world: World, app: EngineApp, branch: str) -> None:
    there = stage(world, action("add_tag", tag="replied"))
    id, entry_id = entered(world, waiting(world, on_response={"move": there} if branch == "move" else "stop"))
    await work(app, world)

    reply(world, id)
    await work(app, world)

    assert entry(world, entry_id)["status"] == ("left" if branch == "move" else "completed")
    assert lead_of(world, id)["tags"] == (["sent", "replied"] if branch == "move" else ["sent"])


async def test_a_reply_wins_over_the_time_out_of_the_same_moment(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, waiting(world))
    await work(app, world)

    reply(world, id)
    await later(app, world, seconds=61)

    assert entry(world, entry_id)["status"] == "completed"
    assert lead_of(world, id)["tags"] == ["sent", "went on"]


async def test_a_task_is_created_once_and_the_run_goes_on_when_it_is_done(world: World, app: EngineApp) -> None:
    here = stage(world, action("task", title="Call", timeout_seconds=60, on_timeout="stop"), action("add_tag", tag="x"))
    id, entry_id = entered(world, here, owner=world.user)
    await work(app, world)
    (task,) = world.db["tasks"].find({"lead_id": id})
    assert (task["title"], task["assigned_to"], task["status"]) == ("Call", world.user, "open")
    assert statuses(world, entry_id) == ["waiting_task", "waiting"]

    world.db["tasks"].update_one({"_id": task["_id"]}, {"$set": {"status": "done"}})
    await work(app, world)

    assert lead_of(world, id)["tags"] == ["x"]


async def test_a_task_that_is_not_done_in_time_takes_its_branch(world: World, app: EngineApp) -> None:
    here = stage(world, action("task", title="Call", timeout_seconds=60, on_timeout="stop"), action("add_tag", tag="x"))
    id, entry_id = entered(world, here)
    await work(app, world)

    await later(app, world, seconds=61)

    assert (entry(world, entry_id)["status"], lead_of(world, id)["tags"]) == ("completed", [])


def unsubscribe(world: World, id: ObjectId, reason: str) -> None:
    address = lead_of(world, id)["email"]
    world.db["suppressions"].insert_one(
        {"account_id": world.account, "channel": "email", "address": address, "reason": reason}
    )


def event(world: World, type: str, **data: Any) -> None:
    common = {"account_id": world.account, "status": "new", "attempts": 0, "occurred_at": datetime.now(UTC)}
    world.db["crm_events"].insert_one({"_id": str(ObjectId()), "type": type, **common, "data": data})


def won_deal(world: World, id: ObjectId) -> None:
    event(world, "deal.won", deal_id=world.deal(lead_id=id))


def meeting(world: World, id: ObjectId) -> None:
    attendees = [lead_of(world, id)["email"].upper(), lead_of(world, id)["email"]]
    world.db["calendar_events"].insert_one({"account_id": world.account, "attendees": attendees})


EXITS: dict[str, Any] = {
    "unsubscribed": lambda world, lead: unsubscribe(world, lead, "unsubscribed"),
    "bounced": lambda world, lead: unsubscribe(world, lead, "hard bounce"),
    "bounce event": lambda world, lead: event(world, "email.bounced", lead_id=lead),
    "won": won_deal,
    "won lead": lambda world, lead: world.db["leads"].update_one({"_id": lead}, {"$set": {"status": "won"}}),
    "meeting": meeting,
}
REASONS = {"bounce event": "bounced", "won lead": "won", "meeting": "a meeting was made"}


@pytest.mark.parametrize("exit", EXITS)
@pytest.mark.covers("LP-15")
async def test_an_exit_ends_the_run_at_whatever_action_it_is(world: World, app: EngineApp, exit: str) -> None:
    here = stage(world, action("wait", seconds=3600), action("add_tag", tag="x"))
    id, entry_id = entered(world, here)
    _, other = entered(world, here)
    await work(app, world, rounds=1)

    EXITS[exit](world, id)
    await work(app, world, rounds=1)

    found = entry(world, entry_id)
    assert (found["status"], found["reason"]) == ("cancelled", REASONS.get(exit, exit))
    assert statuses(world, entry_id) == ["cancelled", "cancelled"]
    assert entry(world, other)["status"] == "active"


@pytest.mark.parametrize(("setting", "status"), [(True, "cancelled"), (False, "active")])
async def test_a_stage_says_whether_a_reply_ends_the_run(
    world: World, app: EngineApp, setting: bool, status: str
) -> None:
    here = stage(world, action("wait", seconds=3600), exits={"reply": setting})
    id, entry_id = entered(world, here)
    await work(app, world, rounds=1)

    reply(world, id)
    await work(app, world, rounds=1)

    assert entry(world, entry_id)["status"] == status


async def test_a_stage_can_let_leads_go_on_after_an_unsubscribe(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=3600), exits={"unsubscribed": False})
    id, entry_id = entered(world, here)
    await work(app, world, rounds=1)

    unsubscribe(world, id, "unsubscribed")
    await work(app, world, rounds=1)

    assert entry(world, entry_id)["status"] == "active"


async def test_a_bounce_that_may_pass_ends_no_run(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, stage(world, action("wait", seconds=3600)))
    await work(app, world, rounds=1)

    event(world, "email.bounced", lead_id=id, bounce_type="soft")
    await work(app, world, rounds=1)

    assert entry(world, entry_id)["status"] == "active"


async def test_an_exit_stops_a_run_that_another_process_holds(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=3600), action("add_tag", tag="x"))
    id, entry_id = entered(world, here)
    await work(app, world, rounds=1)
    held = await app.repos.lead_stages.claim(entry_id)
    assert held

    unsubscribe(world, id, "unsubscribed")
    await work(app, world, rounds=1)

    assert await app.repos.lead_stages.change(held, {"status": "active"}) is None
    assert entry(world, entry_id)["status"] == "cancelled"


async def test_the_reply_of_a_lead_that_waits_for_none_is_handled(world: World, app: EngineApp) -> None:
    id, _ = entered(world, stage(world, action("wait", seconds=3600)))
    await work(app, world, rounds=1)
    reply(world, id)

    await run_internal(app, Turns(), world.account)

    assert world.db["lead_responses"].count_documents({"handled_at": None}) == 0
    assert last_entry(world, id)["status"] == "active"


async def test_a_reply_without_a_date_counts_from_its_id(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, waiting(world))
    await work(app, world, rounds=1)

    world.db["lead_responses"].insert_one({"account_id": world.account, "lead_id": id, "channel": "email"})
    await work(app, world, rounds=1)

    assert entry(world, entry_id)["status"] == "completed"


@pytest.mark.slow
async def test_exits_are_found_among_many_documents_and_bad_ones(world: World, app: EngineApp) -> None:
    here = stage(world, action("wait", seconds=3600))
    id, entry_id = entered(world, here)
    await work(app, world, rounds=1)
    event(world, "deal.won", deal_id="nonsense")
    world.db["crm_events"].update_many({}, {"$set": {"data": [], "occurred_at": datetime(2500, 1, 1, tzinfo=UTC)}})
    own = {"account_id": world.account, "channel": "email"}
    world.db["suppressions"].insert_many([{**own, "address": f"{n}@x.example"} for n in range(1200)] + [{**own}])

    unsubscribe(world, id, "unsubscribed")
    await work(app, world, rounds=1)
    assert entry(world, entry_id)["status"] == "cancelled"

    other, second = entered(world, here)
    await work(app, world, rounds=1)
    event(world, "email.bounced", lead_id=other)
    await work(app, world, rounds=1)
    assert entry(world, second)["status"] == "cancelled"
