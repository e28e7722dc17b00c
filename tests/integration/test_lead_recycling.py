"""Lead recycling: who is taken up again, with what, and only once per loss."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import lead_recycling
from tests.support.contacts import activity, ago, lost, signal
from tests.support.crm_events import contact_of, profile
from tests.support.crm_jobs import NOON, SLOT, JobApp, scope, work
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.world import World

NAME = lead_recycling.NAME
POINTS = [
    ("mongo.contacts.bulk", 1),
    ("mongo.contacts.bulk", 2),
    ("mongo.lead_recycling.insert_many", 1),
    ("mongo.tasks.insert_many", 1),
    ("mongo.workflow_enrollments.insert_many", 1),
    ("mongo.crm_events.insert_one", 1),
    ("mongo.contacts.update_one", 1),
    ("mongo.intent_signals.find", 1),
    ("mongo.cron_slots.find_one_and_update", 2),
]


@pytest.fixture
def jobs(app: EngineApp) -> JobApp:
    return scope(app)


@pytest.fixture
def sequence(world: World) -> ObjectId:
    """The account's sequence for re-engagement."""
    id = ObjectId()
    world.db["sequences"].insert_one({"_id": id, "account_id": world.account, "active": True, "steps": []})
    profile(world, reengagement_sequence_id=str(id))
    return id


async def run(jobs: JobApp, world: World, slot: str = SLOT) -> dict[str, Any]:
    return await work(jobs, world.account, NAME, slot)


def rows(world: World, collection: str) -> list[dict[str, Any]]:
    return list(world.db[collection].find({"account_id": world.account, "source": {"$ne": "test"}}))


@pytest.mark.covers("CL-21", "CL-30")
async def test_a_lost_contact_that_shows_interest_is_taken_up_again(
    world: World, jobs: JobApp, sequence: ObjectId
) -> None:
    id = lost(world)
    signal(world, str(id), 5, days=20)
    signal(world, id, 3, days=2, type="email_open", expired_at=ago(1))

    row = await run(jobs, world)

    found = contact_of(world, id)
    assert (found["status"], "recycling_due" in found, "events_due" in found) == ("recycled", False, False)
    assert row["counts"] == {"done": 1, "failed": 0}
    (recycled,) = rows(world, "lead_recycling")
    assert (recycled["contact_id"], recycled["signal"], recycled["sequence_id"]) == (id, "email_open", sequence)
    assert abs(recycled["recycled_at"] - NOON) < timedelta(minutes=1)
    assert recycled["createdAt"] == recycled["updatedAt"] == recycled["recycled_at"]
    (task,) = rows(world, "tasks")
    assert (task["title"], task["assigned_to"], task["contact_id"]) == (
        "Follow up with recycled lead",
        world.user,
        id,
    )
    (enrolled,) = rows(world, "workflow_enrollments")
    assert (enrolled["sequence_id"], enrolled["contact_id"], enrolled["status"], enrolled["step"]) == (
        sequence,
        id,
        "active",
        0,
    )
    (event,) = world.db["crm_events"].find({"type": "contact.updated"})
    assert event["data"]["contact_id"] == str(id)


@pytest.mark.covers("CL-21")
async def test_others_stay_as_they_are(world: World, jobs: JobApp, sequence: ObjectId) -> None:
    early, silent, late, busy, open = (
        lost(world, days=89),
        lost(world),
        lost(world, days=200),
        lost(world, status="unqualified"),
        lost(world, status="active"),
    )
    undated = lost(world, status_changed_at="long ago")
    for id in (early, busy, open, undated):
        signal(world, id, 5, days=1)
    signal(world, late, 5, days=31)
    activity(world, silent, "note", days=1)
    enrolled = {"sequence_id": ObjectId(), "contact_id": str(busy), "status": "paused", "source": "test"}
    world.db["workflow_enrollments"].insert_one({"account_id": world.account, **enrolled})
    other = world.neighbour()
    signal(other, silent, 5, days=1)

    row = await run(jobs, world)

    assert row["counts"] == {"done": 0, "failed": 0}
    assert world.db["contacts"].count_documents({"status": "recycled"}) == 0
    assert rows(world, "tasks") == rows(world, "lead_recycling") == rows(world, "workflow_enrollments") == []
    other.close()


@pytest.mark.covers("CL-21")
async def test_a_contact_is_recycled_once_per_loss(world: World, jobs: JobApp, sequence: ObjectId) -> None:
    id = lost(world)
    activity(world, id, "page_view", days=1)
    await run(jobs, world)
    # A person takes it back, without and then with a new loss.
    world.db["contacts"].update_one({"_id": id}, {"$set": {"status": "lost", "status_changed_at": ago(91)}})
    await run(jobs, world, "2026-05-05")
    assert (contact_of(world, id)["status"], len(rows(world, "tasks"))) == ("lost", 1)

    world.db["contacts"].update_one({"_id": id}, {"$set": {"status_changed_at": ago(90.5)}})
    world.db["workflow_enrollments"].update_many({}, {"$set": {"status": "completed"}})
    await run(jobs, world, "2026-05-06")

    assert contact_of(world, id)["status"] == "recycled"
    assert [len(rows(world, name)) for name in ("tasks", "lead_recycling", "workflow_enrollments")] == [2, 2, 2]


@pytest.mark.covers("CL-21")
async def test_what_a_contact_did_before_it_was_lost_is_no_new_interest(world: World, jobs: JobApp) -> None:
    profile(world, recycle_after_days=2)
    before, after = lost(world, days=5), lost(world, days=5)
    for id, days in ((before, 6), (after, 4)):
        activity(world, id, "email_open", days=days)
        signal(world, id, 5, days=7)

    await run(jobs, world)

    assert [contact_of(world, id)["status"] for id in (before, after)] == ["lost", "recycled"]


async def test_an_account_chooses_days_and_may_have_no_sequence(world: World, jobs: JobApp) -> None:
    profile(world, recycle_after_days=10, reengagement_sequence_id=ObjectId())
    id = lost(world, days=11)
    activity(world, id, "email_open", days=1)

    await run(jobs, world)

    assert contact_of(world, id)["status"] == "recycled"
    assert (len(rows(world, "tasks")), rows(world, "workflow_enrollments")) == (1, [])
    assert rows(world, "lead_recycling")[0]["sequence_id"] is None


async def test_what_the_server_refuses_keeps_no_other_back(world: World, jobs: JobApp) -> None:
    world.demand("contacts", {"$or": [{"locked": {"$ne": True}}, {"status": "lost"}]})
    world.demand("tasks", {"assigned_to": {"$ne": None}})
    good, locked, unowned = lost(world), lost(world, locked=True), lost(world, owner=None)
    for id in (good, locked, unowned):
        signal(world, id, 5, days=1)

    row = await run(jobs, world)

    assert row["counts"] == {"done": 2, "failed": 1}
    assert [contact_of(world, id)["status"] for id in (good, locked, unowned)] == ["recycled", "lost", "recycled"]
    assert [one["contact_id"] for one in rows(world, "tasks")] == [good]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
async def test_a_kill_at_any_call_leads_to_the_same_end(
    world: World, jobs: JobApp, sequence: ObjectId, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    ids = {lost(world) for _ in range(3)}
    for id in ids:
        signal(world, id, 5, days=1)

    assert await die_at(monkeypatch, point, nth, when, lambda: run(jobs, world))
    if world.db["cron_slots"].count_documents({"state": "due", "lease_owner": {"$ne": None}}):
        world.abandon("cron_slots", f"{NAME}:{world.account}:{SLOT}")
    jobs.clock.set(NOON + timedelta(hours=1))
    await run(jobs, world)

    for name in ("lead_recycling", "tasks", "workflow_enrollments"):
        found = rows(world, name)
        assert (len(found), {one["contact_id"] for one in found}) == (3, ids), name
    assert world.db["crm_events"].count_documents({"type": "contact.updated"}) == 3
    assert world.db["contacts"].count_documents({"status": "recycled", "recycling_due": None}) == 3
