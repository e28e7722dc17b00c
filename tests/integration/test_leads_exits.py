"""What ends runs from outside, whenever it is published and whatever time it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from tests.support.engine_app import EngineApp
from tests.support.leads import action, enter, entered, entry, lead, lead_of, stage, work
from tests.support.world import World

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def event(world: World, lead_id: ObjectId, **fields: Any) -> None:
    own = {"account_id": world.account, "type": "deal.won", "status": "new", "data": {"leadId": str(lead_id)}}
    world.db["crm_events"].insert_one({"_id": str(ObjectId()), **own, **fields})


@pytest.mark.covers("LP-15")
@pytest.mark.parametrize("fields", [{"occurred_at": NOW - HOUR}, {}], ids=["late", "without a time"])
@pytest.mark.parametrize("status", ["new", "done"])
async def test_an_event_that_is_published_late_ends_the_run(
    world: World, app: EngineApp, fields: dict[str, Any], status: str
) -> None:
    here = stage(world, action("wait", seconds=36000))
    first, _ = entered(world, here)
    await work(app, world, rounds=1)
    event(world, first, occurred_at=NOW)
    await work(app, world, rounds=1)

    id = lead(world)
    (entry_id,) = enter(world, here, id, entered_at=NOW - 2 * HOUR)
    await work(app, world, rounds=1)
    event(world, id, **fields, status=status)
    assert await app.repos.lead_exits.anything_new()
    await work(app, world, rounds=1)

    assert (entry(world, entry_id)["status"], entry(world, entry_id)["reason"]) == ("cancelled", "won")
    assert not await app.repos.lead_exits.unseen_events(10)


async def test_a_run_that_began_after_the_event_goes_on(world: World, app: EngineApp) -> None:
    id, entry_id = entered(world, stage(world, action("wait", seconds=36000)))
    await work(app, world, rounds=1)
    event(world, id, occurred_at=NOW - 48 * HOUR)
    await work(app, world, rounds=1)
    assert entry(world, entry_id)["status"] == "active"


async def test_events_of_the_time_before_leads_were_switched_on_end_nothing(world: World, app: EngineApp) -> None:
    id = lead(world)
    event(world, id, occurred_at=NOW - HOUR, status="done")
    (entry_id,) = enter(world, stage(world, action("wait", seconds=36000)), id, entered_at=NOW - 2 * HOUR)
    await work(app, world, rounds=2)
    assert entry(world, entry_id)["status"] == "active"
    assert not await app.repos.lead_exits.anything_new()


async def test_the_look_for_events_reads_no_others(world: World, app: EngineApp) -> None:
    id = lead(world)
    event(world, id, occurred_at=NOW)
    others = {"account_id": world.account, "type": "page.viewed", "status": "done", "data": {}}
    world.db["crm_events"].insert_many([{"_id": str(ObjectId()), **others} for _ in range(200)])
    query = {"type": {"$in": ["email.bounced", "deal.won"]}, "exit_seen": None}
    plan = world.db["crm_events"].find(query).explain()
    assert plan["executionStats"]["totalDocsExamined"] <= 1


@pytest.mark.parametrize(("starts_at", "status"), [(NOW - 24 * HOUR, "active"), (NOW + 24 * HOUR, "cancelled")])
async def test_only_a_meeting_that_is_not_over_ends_the_run(
    world: World, app: EngineApp, starts_at: datetime, status: str
) -> None:
    id, entry_id = entered(world, stage(world, action("wait", seconds=36000)))
    await work(app, world, rounds=1)
    attendees = [{"email": lead_of(world, id)["email"], "response": "accepted"}]
    world.db["calendar_events"].insert_one(
        {"account_id": world.account, "attendees": attendees, "starts_at": starts_at}
    )
    await work(app, world, rounds=1)
    assert entry(world, entry_id)["status"] == status


@pytest.mark.parametrize(
    ("closed", "allowed", "tags", "end"),
    [
        ("won", {}, [], ("cancelled", "won")),
        ("lost", {"won": False}, [], ("cancelled", "lost")),
        ("won", {"won": False}, ["x"], ("completed", None)),
    ],
)
async def test_a_closed_lead_that_enters_is_not_acted_on(
    world: World, app: EngineApp, closed: str, allowed: dict[str, bool], tags: list[str], end: tuple[str, str | None]
) -> None:
    here = stage(world, action("add_tag", tag="x"), exits=allowed)
    id, entry_id = entered(world, here, status=closed)
    await work(app, world, rounds=2)
    found = entry(world, entry_id)
    assert (lead_of(world, id)["tags"], (found["status"], found.get("reason"))) == (tags, end)
