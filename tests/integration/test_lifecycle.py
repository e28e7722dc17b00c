"""Lifecycle: what moves a contact on, each step with its row and its event, and what never does."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.domain.jobs import lifecycle
from tests.support.contacts import activity, ago, ready, signal
from tests.support.crm_events import contact, contact_of, profile
from tests.support.crm_jobs import NOON, JobApp, scope, work
from tests.support.dying import die_at
from tests.support.engine_app import EngineApp
from tests.support.fuzz.strangers import ODD_IDS
from tests.support.world import World

NAME = lifecycle.NAME
SLOT = "2026-05-04T12:00Z"
STAGES = ["lead", "mql", "sql", "opportunity", "customer"]
STEPS = list(pairwise(STAGES))
POINTS = [
    ("mongo.contacts.bulk", 1),
    ("mongo.contacts.bulk", 2),
    ("mongo.contacts.bulk", 4),
    ("mongo.contact_lifecycle_history.insert_many", 1),
    ("mongo.contact_lifecycle_history.insert_many", 3),
    ("mongo.crm_events.insert_one", 1),
    ("mongo.crm_events.insert_one", 3),
    ("mongo.contacts.update_one", 2),
    ("mongo.deals.find", 1),
    ("mongo.cron_slots.find_one_and_update", 2),
]


@pytest.fixture
def jobs(app: EngineApp) -> JobApp:
    return scope(app)


async def run(jobs: JobApp, world: World, slot: str = SLOT) -> dict[str, Any]:
    return await work(jobs, world.account, NAME, slot)


def stage_of(world: World, id: ObjectId) -> str:
    return str(contact_of(world, id).get("lifecycle_stage", "lead"))


def history(world: World, id: ObjectId) -> list[tuple[str, str]]:
    rows = world.db["contact_lifecycle_history"].find({"contact_id": id, "account_id": world.account})
    return sorted(((one["from"], one["to"]) for one in rows), key=lambda pair: STAGES.index(pair[0]))


def events(world: World, id: ObjectId) -> list[tuple[str, str]]:
    found = world.db["crm_events"].find({"type": "lifecycle.changed", "data.contact_id": str(id)})
    pairs = [(one["data"]["from"], one["data"]["to"]) for one in found]
    return sorted(pairs, key=lambda pair: STAGES.index(pair[0]))


def deal(world: World, id: object, **fields: Any) -> None:
    world.deal(contact_id=id, **fields)


@pytest.mark.covers("CL-18", "CL-20", "CL-30")
async def test_a_lead_becomes_an_mql_by_grade_intent_and_form(world: World, jobs: JobApp) -> None:
    yes = ready(world)
    by_signal = contact(world, lead_grade="B", intent_score=50.5)
    signal(world, str(by_signal), 20, days=40, type="form_submission", expired_at=ago(20))
    no = [ready(world, lead_grade="C"), ready(world, intent_score=50), ready(world, intent_score="90")]
    no.append(contact(world, lead_grade="A", intent_score=90))

    row = await run(jobs, world)

    assert [stage_of(world, id) for id in (yes, by_signal)] == ["mql", "mql"]
    assert {stage_of(world, id) for id in no} == {"lead"}
    assert row["counts"] == {"done": 2, "failed": 0}
    (written,) = world.db["contact_lifecycle_history"].find({"contact_id": yes})
    assert (written["from"], written["to"]) == ("lead", "mql")
    assert abs(written["at"] - NOON) < timedelta(minutes=1)
    assert written["reason"] == "grade A, intent 80, a form was submitted"
    assert events(world, yes) == [("lead", "mql")]
    assert "lifecycle_due" not in contact_of(world, yes)
    assert "events_due" not in contact_of(world, yes)


@pytest.mark.covers("CL-19")
@pytest.mark.parametrize("type", ["call", "meeting"])
async def test_an_mql_becomes_an_sql_by_a_call_or_a_meeting(world: World, jobs: JobApp, type: str) -> None:
    yes = contact(world, lifecycle_stage="mql", lead_grade="A")
    no = [contact(world, lifecycle_stage="mql", lead_grade="A"), contact(world, lifecycle_stage="mql", lead_grade="B")]
    activity(world, yes, type)
    activity(world, no[0], "email")
    activity(world, no[1], type)

    await run(jobs, world)

    assert (stage_of(world, yes), {stage_of(world, id) for id in no}) == ("sql", {"mql"})


@pytest.mark.covers("CL-19")
async def test_deals_make_opportunities_and_customers(world: World, jobs: JobApp) -> None:
    opportunity, customer, undated, without = (contact(world, lifecycle_stage="sql") for _ in range(4))
    deal(world, opportunity, status="open")
    deal(world, str(customer), status="won", closed_at=ago(1))
    deal(world, undated, status="won")
    other = world.neighbour()
    other.deal(contact_id=without, status="won", closed_at=ago(1))

    await run(jobs, world)

    assert [stage_of(world, id) for id in (opportunity, customer, undated, without)] == [
        "opportunity",
        "customer",
        "opportunity",
        "sql",
    ]
    assert history(world, customer) == events(world, customer) == [("sql", "opportunity"), ("opportunity", "customer")]
    other.close()


def through(world: World, **fields: Any) -> ObjectId:
    """A contact whose facts allow every step."""
    id = ready(world, **fields)
    activity(world, id, "call")
    deal(world, id, status="won", closed_at=ago(2))
    return id


@pytest.mark.covers("CL-20")
async def test_several_steps_are_taken_in_one_run_and_none_twice(world: World, jobs: JobApp) -> None:
    ids = [through(world) for _ in range(3)]

    first = await run(jobs, world)
    second = await run(jobs, world, "2026-05-04T14:00Z")

    assert [history(world, id) for id in ids] == [STEPS] * 3
    assert [events(world, id) for id in ids] == [STEPS] * 3
    assert (first["counts"]["done"], second["counts"]["done"]) == (12, 0)


@pytest.mark.covers("CL-20")
async def test_a_person_has_the_last_word(world: World, jobs: JobApp) -> None:
    held, back = through(world, manual_override=True), through(world)
    await run(jobs, world)
    world.db["contacts"].update_one({"_id": back}, {"$set": {"lifecycle_stage": "sql"}})

    await run(jobs, world, "2026-05-04T14:00Z")

    assert (stage_of(world, held), history(world, held)) == ("lead", [])
    assert stage_of(world, back) == "customer"
    assert Counter(history(world, back))[("sql", "opportunity")] == 2  # a step that is taken again has its own row


@pytest.mark.covers("CL-20")
async def test_an_account_has_its_own_rules(world: World, jobs: JobApp) -> None:
    rules = {"mql": {"min_grade": "C", "min_intent": 10, "form_submission": False}, "sql": {"min_grade": "F"}}
    rules |= {"opportunity": {"deal": False}, "customer": {"won": False}}
    profile(world, lifecycle_rules=rules)
    lead, mql = contact(world, lead_grade="C", intent_score=11), contact(world, lifecycle_stage="mql", lead_grade="F")
    activity(world, mql, "meeting")
    dated = contact(world, lifecycle_stage="opportunity")
    deal(world, dated, status="lost", closed_at=ago(3))

    await run(jobs, world)

    # Without any rule left no contact becomes an opportunity.
    assert [stage_of(world, id) for id in (lead, mql, dated)] == ["mql", "sql", "customer"]


async def test_a_contact_without_a_grade_has_that_of_its_score(world: World, jobs: JobApp) -> None:
    good, fair, poor = (ready(world, lead_grade=None, lead_score=score) for score in (80, 60, 59))
    for id in (good, fair):
        activity(world, id, "call")
    unscored = ready(world, lead_grade=None)

    await run(jobs, world)

    assert [stage_of(world, id) for id in (good, fair, poor, unscored)] == ["sql", "mql", "lead", "lead"]
    rows = {one["to"]: one for one in world.db["contact_lifecycle_history"].find({"contact_id": good})}
    assert [rows[to]["reason"] for to in ("mql", "sql")] == [
        "grade A, intent 80, a form was submitted",
        "grade A, call or meeting",
    ]
    assert all(row["createdAt"] == row["updatedAt"] == row["at"] for row in rows.values())


async def test_contacts_that_are_odd_keep_no_other_from_its_step(world: World, jobs: JobApp) -> None:
    world.demand("contacts", {"$or": [{"locked": {"$ne": True}}, {"lifecycle_stage": "lead"}]})
    good, locked = ready(world, events_due="x"), ready(world, locked=True)
    for id in ("text", 7, {"a": 1}):
        own = {"account_id": world.account, "lead_grade": "A", "intent_score": 99, "lifecycle_stage": "lead"}
        world.db["contacts"].insert_one({"_id": id, **own})
    odd = ready(world, lifecycle_stage=["lead"], lifecycle_due="x")
    left = contact(world, lifecycle_due={"at": ago(1)})

    row = await run(jobs, world)

    assert (row["state"], row["counts"]["failed"]) == ("done", 1)
    assert (stage_of(world, good), stage_of(world, locked)) == ("mql", "lead")
    assert contact_of(world, odd)["lifecycle_stage"] == ["lead"]
    assert "lifecycle_due" not in contact_of(world, left)


async def test_many_contacts_take_several_slices(world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "PAGE", 3)
    monkeypatch.setattr("pipeline_engine.domain.jobs.run.SLICE_SECONDS", -1.0)
    ids = [through(world) for _ in range(8)]

    row = await run(jobs, world)

    assert {stage_of(world, id) for id in ids} == {"customer"}
    assert (row["counts"]["done"], row["claims"] > 8) == (32, True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
async def test_a_kill_at_any_call_leads_to_the_same_end(
    world: World, jobs: JobApp, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    ids = [through(world) for _ in range(2)]

    assert await die_at(monkeypatch, point, nth, when, lambda: run(jobs, world))
    if world.db["cron_slots"].count_documents({"state": "due", "lease_owner": {"$ne": None}}):
        world.abandon("cron_slots", f"{NAME}:{world.account}:{SLOT}")
    jobs.clock.set(NOON + timedelta(hours=1))
    await run(jobs, world)

    assert [history(world, id) for id in ids] == [STEPS] * 2
    assert [events(world, id) for id in ids] == [STEPS] * 2
    assert {stage_of(world, id) for id in ids} == {"customer"}
    assert world.db["contacts"].count_documents({"lifecycle_due": None, "events_due": None}) == 2


async def test_notes_of_strangers_under_odd_ids_keep_no_contact_from_its_step(world: World, jobs: JobApp) -> None:
    """MongoDB takes ids that are no key of a mapping; the account's other contacts go on."""
    note = {"at": NOON, "from": "lead", "to": "mql"}
    for odd in ODD_IDS:
        world.db["contacts"].insert_one({"_id": odd, "account_id": world.account, "lifecycle_due": note})
    well = ready(world)
    row = await run(jobs, world)
    assert (row["state"], row["counts"]["failed"]) == ("done", 0)
    assert history(world, well) == [("lead", "mql")]
