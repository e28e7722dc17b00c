"""Workflows: which contacts an event enrols, what the steps do, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
    WorkflowApp,
    branch,
    contact,
    contact_of,
    enrollment,
    enrollments,
    field,
    happened,
    paths,
    step,
    work,
    workflow,
)
from tests.support.world import World


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


@pytest.mark.covers("CL-08")
async def test_an_event_takes_a_contact_through_all_kinds_of_internal_steps(world: World, flow: WorkflowApp) -> None:
    sequence, hook = ObjectId(), ObjectId()
    world.db["sequences"].insert_one({"_id": sequence, "account_id": world.account, "active": True, "steps": []})
    world.db["webhooks"].insert_one(
        {"_id": hook, "account_id": world.account, "url": "https://x.example", "active": True}
    )
    id = workflow(
        world,
        step("add_tag", tags=["new", "hot"]),
        step("remove_tag", tag="old"),
        step("set_field", field="stage.name", value="$lead"),
        step("create_task", title="Call {{ contact.name }}", due_in_seconds=3600),
        step("notify", title="A new contact", body="{{ contact.email }}"),
        step("enroll", sequence_id=str(sequence)),
        step("webhook", webhook_id=hook, data={"from": "workflow"}),
        step("end"),
        step("add_tag", tag="never"),
        filter=field("data.source", "eq", "form"),
    )
    one = contact(world, tags=["old"], owner=world.user)
    happened(world, "contact.created", one, data={"source": "form"})

    await work(flow, world)

    found = enrollment(world, one)
    assert (found["status"], found["workflow_id"], paths(found)) == ("completed", id, list("1234567"))
    person = contact_of(world, one)
    assert (person["tags"], person["stage"]) == (["new", "hot"], {"name": "$lead"})
    (task,) = world.db["tasks"].find()
    assert (task["title"], task["assigned_to"], task["contact_id"]) == ("Call Ada", world.user, one)
    (note,) = world.db["ai_notifications"].find()
    assert (note["user_id"], note["body"], note["status"]) == (world.user, person["email"], "open")
    (enrolled,) = enrollments(world, sequence_id=sequence)
    assert (enrolled["contact_id"], enrolled["step"], enrolled["status"]) == (one, 0, "active")
    (made,) = world.db["webhook_deliveries"].find({"payload.occurred_at": {"$type": "date"}})
    assert (made["webhook_id"], made["payload"]["data"]["from"]) == (hook, "workflow")
    changes = list(world.db["crm_events"].find({"type": "contact.updated"}))
    assert sorted(one["data"]["fields"][0] for one in changes) == ["stage.name", "tags", "tags"]
    assert {one["cause"]["depth"] for one in changes} == {1}
    assert not found.get("events_due")
    assert world.db["crm_events"].count_documents({"onward": "workflows"}) == 0


@pytest.mark.parametrize(
    ("trigger", "source", "times"),
    [("contact.created", "form", 1), ("contact.created", "import", 0), ("contact.updated", "form", 0)],
)
@pytest.mark.covers("CL-08")
async def test_only_a_matching_event_enrols(
    world: World, flow: WorkflowApp, trigger: str, source: str, times: int
) -> None:
    workflow(
        world, type=trigger, filter={"all": [field("data.source", "eq", "form"), field("contact.vip", "eq", True)]}
    )
    happened(world, "contact.created", contact(world, vip=True), data={"source": source})
    happened(world, "contact.created", contact(world), data={"source": source})

    await work(flow, world)

    assert len(enrollments(world)) == times


async def test_contacts_are_found_through_the_deals_of_an_event(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("add_tag", tag="moved"), type="deal.stage_changed", filter=field("deal.value", "gt", 10))
    contacts = [contact(world) for _ in range(3)]
    deals = [world.deal(contact_id=one, value=n * 10) for n, one in enumerate(contacts)]
    happened(world, "deal.stage_changed", data={"deals": [str(one) for one in deals], "stage_id": "x"})

    await work(flow, world)

    (found,) = enrollments(world)
    assert (found["contact_id"], found["deal_id"]) == (contacts[2], deals[2])


async def test_no_contact_of_another_account_is_enrolled(world: World, flow: WorkflowApp) -> None:
    other = world.neighbour()
    workflow(world, step("add_tag", tag="x"))
    workflow(other, step("add_tag", tag="x"))
    theirs = contact(other)
    happened(world, "contact.created", theirs)
    happened(world, "contact.created")

    await work(flow, world)

    assert (enrollments(world), contact_of(world, theirs)["tags"]) == ([], [])
    other.close()


@pytest.mark.parametrize(
    ("reentry", "wanted"), [("never", 1), (None, 1), ("per_event", 3), ({"cooldown_seconds": 3600}, 2)]
)
async def test_reentry(world: World, flow: WorkflowApp, reentry: Any, wanted: int) -> None:
    workflow(world, step("create_task", title="x"), reentry=reentry)
    one, now = contact(world), datetime.now(UTC)
    for minutes in (-90, -60, 0):
        id = happened(world, "contact.created", one, occurred_at=now + timedelta(minutes=minutes))
        await work(flow, world)
        # The same event again, as after a crash before it was marked as taken.
        world.db["crm_events"].update_one({"_id": id}, {"$set": {"onward": ["workflows"]}})
        await work(flow, world)

    assert [one["status"] for one in enrollments(world)] == ["completed"] * wanted
    assert world.db["tasks"].count_documents({}) == wanted


async def test_events_of_one_batch_keep_the_cool_down(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("create_task", title="x"), reentry={"cooldown_seconds": 60})
    one = contact(world)
    for _ in range(5):
        happened(world, "contact.created", one)

    await work(flow, world)

    assert len(enrollments(world)) == 1


async def test_steps_are_pinned_when_a_contact_is_enrolled(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("wait", seconds=60), step("add_tag", tag="old way"))
    before = [contact(world) for _ in range(100)]
    for one in before:
        happened(world, "contact.created", one)
    await work(flow, world)
    edited = [step("add_tag", tag="new way")]
    world.db["workflows"].update_one({"_id": id}, {"$set": {"steps": edited, "version": 2}})
    after = contact(world)
    happened(world, "contact.created", after)

    flow.clock.set(flow.clock.now() + timedelta(seconds=61))
    await work(flow, world)

    assert {tuple(contact_of(world, one)["tags"]) for one in before} == {("old way",)}
    assert contact_of(world, after)["tags"] == ["new way"]
    versions = {one["workflow_version"] for one in enrollments(world, contact_id={"$in": before})}
    assert versions == {1}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"steps": [step("fly")]}, "step 1 (fly): no such type of step"),
        ({"steps": [branch(field("data.x", "like", 1), [], [])]}, "unknown operator 'like' for data.x"),
        ({"steps": [branch(field("data.x", "eq", 1), [step("wait")], [])]}, "step 1.then.1 (wait): seconds"),
        ({"trigger": {"type": "contact.created", "filter": {"field": "x", "op": "eq", "value": 1}}}, "unknown field"),
        ({"trigger": {"filter": {}}}, "trigger: type"),
        ({"reentry": {"cooldown_seconds": "soon"}}, "reentry"),
        ({"steps": None}, "steps: a list"),
    ],
)
async def test_a_bad_workflow_is_refused_with_the_reason(
    world: World, flow: WorkflowApp, fields: dict[str, Any], named: str
) -> None:
    bad = workflow(world, **fields)
    good = workflow(world, step("add_tag", tag="x"))
    happened(world, "contact.created", contact(world))

    await work(flow, world)

    assert [one["workflow_id"] for one in enrollments(world)] == [good]
    stored = world.db["workflows"].find_one({"_id": bad})
    assert stored
    assert named in stored["error"]

    mended = {"steps": [], "reentry": "never", "trigger": {"type": "contact.created"}, "updatedAt": flow.clock.now()}
    world.db["workflows"].update_one({"_id": bad}, {"$set": mended})
    happened(world, "contact.created", contact(world))
    await work(flow, world)
    assert "error" not in (world.db["workflows"].find_one({"_id": bad}) or {"error": 1})
    assert len(enrollments(world, workflow_id=bad)) == 1


async def test_an_endless_chain_of_causes_stops_after_twenty_and_is_shown(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("create_task", title="x"), type="contact.updated", reentry="per_event")
    one = contact(world)
    happened(world, "contact.updated", one, cause={"event_id": "x", "depth": 19})
    last = happened(world, "contact.updated", one, cause={"event_id": "y", "depth": 20})

    await work(flow, world)

    states = {found["event_id"]: found for found in enrollments(world, workflow_id=id)}
    assert states[last]["status"] == "failed"
    assert "20 events" in states[last]["reason"]
    assert world.db["tasks"].count_documents({}) == 1


async def test_an_odd_event_harms_no_other(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("add_tag", tag="x"), filter=field("data.amount", "gt", 5))
    one = contact(world)
    odd: list[Any] = [
        [],
        {"contact_id": ["x"], "amount": 9},
        {"contact_id": {"$gt": ""}},
        {"deals": [{"a": 1}, None, 7]},
    ]
    for data in odd:
        world.db["crm_events"].insert_one(
            {"_id": ObjectId(), "type": "contact.created", "account_id": str(world.account), "data": data}
            | {"status": "done", "onward": ["workflows"], "occurred_at": "yesterday"}
        )
    happened(world, "contact.created", one, data={"amount": 6})

    await work(flow, world)

    assert [found["contact_id"] for found in enrollments(world)] == [one]
    assert world.db["crm_events"].count_documents({"onward": "workflows"}) == 0


async def test_an_enrolment_that_the_crm_inserts_gets_its_steps(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("add_tag", tag="x"), active=False)
    one = contact(world)
    world.db["workflow_enrollments"].insert_one(
        {"account_id": world.account, "workflow_id": id, "contact_id": str(one), "status": "active"}
    )

    await work(flow, world)

    assert contact_of(world, one)["tags"] == ["x"]


async def test_what_is_deleted_meanwhile_cancels_the_run(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("wait", seconds=5), step("add_tag", tag="x"))
    gone, kept = contact(world), contact(world)
    for one in (gone, kept):
        happened(world, "contact.created", one)
    await work(flow, world)
    world.db["contacts"].delete_one({"_id": gone})
    flow.clock.set(flow.clock.now() + timedelta(seconds=6))
    await work(flow, world)
    assert enrollment(world, gone)["status"] == "cancelled"

    third = contact(world)
    happened(world, "contact.created", third)
    await work(flow, world)
    world.db["workflows"].delete_one({"_id": id})
    flow.clock.set(flow.clock.now() + timedelta(seconds=6))
    await work(flow, world)
    assert (enrollment(world, third)["status"], contact_of(world, third)["tags"]) == ("cancelled", [])


async def test_a_replayed_event_reaches_only_its_workflow(world: World, flow: WorkflowApp) -> None:
    """As `events replay --to workflow:ID` marks it."""
    meant, other = workflow(world, step("add_tag", tag="x")), workflow(world, step("add_tag", tag="y"))
    one = contact(world)
    happened(world, "contact.created", one, only={"workflows": str(meant)})

    await work(flow, world)

    assert [(found["workflow_id"], found["contact_id"]) for found in enrollments(world)] == [(meant, one)]
    assert enrollments(world, workflow_id=other) == []


async def test_two_runs_at_the_same_time_enrol_and_perform_once(world: World, flow: WorkflowApp) -> None:
    steps = [step("create_task", title="x"), step("add_tag", tag="x"), step("create_task", title="y")]
    workflow(world, *steps, reentry={"cooldown_seconds": 60})
    workflow(world, *steps, reentry="per_event")
    contacts = [contact(world) for _ in range(10)]
    for one in contacts * 2:
        happened(world, "contact.created", one)

    await asyncio.gather(*(work(flow, world, rounds=2) for _ in range(3)))

    assert len(enrollments(world)) == 30
    assert {found["status"] for found in enrollments(world)} == {"completed"}
    assert world.db["tasks"].count_documents({}) == 60
