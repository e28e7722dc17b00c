"""What follows from CRM events: scores, owners, signals, sequences, replies, timelines and the activity log."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import bson
import pytest
from bson import ObjectId

from pipeline_engine.domain.consumers.reactions import owner
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.settings import Settings
from tests.support.crm_events import (
    consumers_find,
    contact,
    contact_of,
    created,
    event_of,
    insert,
    later,
    members,
    profile,
    work,
    write_log,
)
from tests.support.engine_app import EngineApp
from tests.support.world import World

NOW = datetime.now(UTC)


@pytest.mark.covers("CL-07", "CL-08")
async def test_a_new_contact_is_scored_assigned_and_logged_once(
    world: World, app: EngineApp, configured: Settings
) -> None:
    (user,) = members(world, 1)
    id = contact(world, company="Acme", title=" ", intent_score=30)
    event = created(world, id, user_id=world.user)

    (result,) = (await run_once(configured, ["events.outbox"])).results

    assert (result.units, result.succeeded, result.failed, result.busy) == (1, 1, 0, 0)
    found = contact_of(world, id)
    assert (found["lead_score"], found["lead_grade"], found["owner"]) == (8 * 4 + 30, "B", user)
    stored = event_of(world, event)
    assert stored["status"] == "done"
    assert "onward" not in stored  # all who take consumed events have taken it
    (entry,) = world.db["activity_log"].find()
    assert (entry["event_id"], entry["actor"], entry["verb"]) == (event, str(world.user), "created")
    (activity,) = world.db["activities"].find()
    assert (activity["contact_id"], activity["type"], activity["event_id"]) == (id, "contact_created", event)


@pytest.mark.covers("CL-08")
@pytest.mark.parametrize(
    ("fields", "score", "grade"),
    [
        ({}, 24, "D"),
        ({"company": "A", "title": "B", "intent_score": 500}, 100, "A"),
        ({"intent_score": "many", "company": ["odd"], "title": 7}, 32, "D"),
        ({"name": "", "email": None, "phone": "  "}, 0, "F"),
        ({"intent_score": float("nan")}, 24, "D"),
        ({"intent_score": 16.5}, 40.5, "C"),
        ({"intent_score": -5}, 24, "D"),
    ],
)
async def test_the_score_is_what_stands_in_the_contact(
    world: World, app: EngineApp, fields: dict[str, object], score: float, grade: str
) -> None:
    id, text = contact(world, **fields), contact(world)
    world.db["contacts"].update_one({"_id": text}, {"$set": {"account_id": str(world.account)}})
    insert(world, "contact.updated", {"contactId": str(id)})
    insert(world, "contact.updated", {"contactId": str(text)}, account_id=str(world.account))
    other = world.neighbour()
    theirs = contact(other)
    insert(world, "contact.updated", {"contact_id": theirs})

    await work(app, world)

    found = contact_of(world, id)
    assert (found["lead_score"], found["lead_grade"]) == (score, grade)
    assert contact_of(world, text)["lead_score"] == 24
    assert "lead_score" not in contact_of(world, theirs)
    other.close()


@pytest.mark.covers("CL-08")
async def test_owners_are_given_in_turn_over_batches_and_runs(world: World, app: EngineApp) -> None:
    users = members(world, 3)
    members(world, 2, active=False)
    gone = members(world, 1)[0]
    world.db["users"].insert_one({"_id": gone, "account": world.account, "active": False})
    first = [contact(world) for _ in range(5)]
    owned = contact(world, owner="a person's choice")
    for place, id in enumerate([*first, owned]):
        created(world, id, at=place)
    await work(app, world)
    second = [contact(world) for _ in range(4)]
    for place, id in enumerate(second):
        created(world, id, at=place)
    await work(app, world)

    given = [contact_of(world, id)["owner"] for id in [*first, *second]]
    assert given == [users[place % 3] for place in range(9)]
    assert contact_of(world, owned)["owner"] == "a person's choice"
    (stored,) = world.db["business_profiles"].find()
    assert (stored["round_robin_last"], "round_robin_allotted" in stored) == (users[2], False)


@pytest.mark.covers("CL-08")
async def test_owners_are_fair_when_many_runs_give_at_the_same_time(world: World, app: EngineApp) -> None:
    from pipeline_engine.domain.consumers.event import read_event

    users = members(world, 4)
    ids = [contact(world) for _ in range(40)]
    events = [read_event(event_of(world, created(world, id)), NOW) for id in ids]
    scope = app.with_repos(ConsumerRepos.open)

    async def give(some: list[int]) -> None:
        wanted = [events[n] for n in some]
        while wanted:
            failed = await owner.assign(scope, world.account, wanted)
            wanted = [event for event in wanted if event.id in failed]

    await asyncio.gather(*(give([*range(n, 40, 8), n]) for n in range(8)))

    given = Counter(contact_of(world, id)["owner"] for id in ids)
    assert given == dict.fromkeys(users, 10)


@pytest.mark.covers("CL-08")
async def test_a_turn_that_a_crash_left_is_finished_first(world: World, app: EngineApp) -> None:
    users = members(world, 2)
    left, new = contact(world), contact(world)
    pairs = [{"contact_id": left, "owner": users[0]}]
    profile(world, round_robin_last=users[0], round_robin_allotted=pairs)
    created(world, new)

    await work(app, world)

    assert (contact_of(world, left)["owner"], contact_of(world, new)["owner"]) == (users[0], users[1])


async def test_a_contact_that_cannot_be_changed_keeps_no_other_from_its_owner(world: World, app: EngineApp) -> None:
    users = members(world, 2)
    good, bad = [contact(world) for _ in range(3)], contact(world, name="closed")
    world.demand("contacts", {"$or": [{"name": {"$ne": "closed"}}, {"owner": {"$exists": False}}]})
    event = created(world, bad, at=0)
    for n, id in enumerate(good):
        created(world, id, at=1 + n)

    await work(app, world)

    assert [contact_of(world, id)["owner"] for id in good] == [users[1], users[0], users[1]]
    stored = event_of(world, event)
    assert (stored["status"], "owner: MongoDB refuses" in stored["errors"][0]["error"]) == ("new", True)
    assert "round_robin_allotted" not in (world.db["business_profiles"].find_one() or {})


async def test_an_event_too_large_to_be_changed_is_set_aside_alone(world: World, app: EngineApp) -> None:
    contacts = [contact(world) for _ in range(4)]
    large = []
    for type in ("my.own", "contact.created"):  # the second cannot be read either
        id = insert(world, type, {"text": ""}, status="done")
        room = 16 * 2**20 - len(bson.encode(event_of(world, id)))
        change = {"data.text": "x" * room, "status": "new"}
        world.db["crm_events"].update_one({"_id": id}, {"$set": change})
        large.append(id)
    ids = [created(world, id, at=1 + n) for n, id in enumerate(contacts)]

    await work(app, world)

    assert {event_of(world, id)["status"] for id in ids} == {"done"}
    aside = {one["document_id"] for one in world.db["quarantine"].find({"collection": "crm_events"})}
    assert aside == set(large)
    assert await consumers_find(app) == []


async def test_signals_raise_the_scores_and_a_crossed_level_is_published_once(world: World, app: EngineApp) -> None:
    id = contact(world)
    old = NOW - timedelta(days=3, hours=1)
    world.db["intent_signals"].insert_one(
        {"account_id": world.account, "contact_id": id, "type": "form_submission", "points": 20, "occurred_at": old}
    )
    form = insert(world, "form.submitted", {"contact_id": id, "form_id": "f"}, occurred_at=NOW)

    await work(app, world)
    found = contact_of(world, id)
    assert (found["intent_score"], found["intent_level"], found["lead_score"]) == (14 + 20, "medium", 24 + 34)
    (crossed,) = world.db["crm_events"].find({"type": "intent.crossed"})
    assert (crossed["data"]["from"], crossed["data"]["level"]) == ("low", "medium")
    assert (crossed["cause"], "events_due" in found) == ({"event_id": form, "depth": 1}, False)

    world.db["crm_events"].update_one({"_id": form}, {"$set": {"status": "new"}, "$unset": {"consumed": ""}})
    await later(app, world, seconds=1)
    assert world.db["intent_signals"].count_documents({}) == 2
    assert world.db["crm_events"].count_documents({"type": "intent.crossed"}) == 1
    assert contact_of(world, id)["intent_score"] == 34


async def test_a_reply_of_a_lead_is_found_by_lead_pipelines_once(world: World, app: EngineApp) -> None:
    lead = ObjectId()
    one = insert(world, "email.replied", {"lead_id": lead, "message_id": "<m@x>", "auto": True})
    await work(app, world)
    world.db["crm_events"].update_one({"_id": one}, {"$set": {"status": "new"}, "$unset": {"consumed": ""}})
    insert(world, "email.replied", {"lead_id": lead, "message_id": "<m@x>"})
    await work(app, world)

    (response,) = world.db["lead_responses"].find()
    assert (response["lead_id"], response["channel"], response["auto"]) == (lead, "email", True)


async def test_the_log_has_each_event_once_also_dead_ones(world: World, app: EngineApp) -> None:
    ids = [insert(world, "my.own", {"n": n}, at=n) for n in range(600)]
    bad = insert(world, "contact.created", {})
    await later(app, world, seconds=1)
    await asyncio.gather(*(write_log(app, world) for _ in range(3)))

    logged = [entry["event_id"] for entry in world.db["activity_log"].find()]
    assert sorted(logged) == sorted([*ids, bad])
    assert world.db["crm_events"].count_documents({"onward": "activity"}) == 0
