"""Events and workflows of any shape, and steps that name what is another account's: none harms more than itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import DBRef, MaxKey, ObjectId, Regex

from pipeline_engine.domain.workflows.sweep import find, find_abandoned, find_due_now
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
    WorkflowApp,
    contact,
    contact_of,
    enrollment,
    enrollments,
    happened,
    step,
    work,
    workflow,
)
from tests.support.world import World

ODD_TYPES: list[Any] = [{}, [], ["contact.created"], {"contact.created": 1}, None, 7, True]
OTHER_TENANT = "another account"


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


def ended(world: World, id: object, type: Any, contact_id: ObjectId) -> None:
    """An event as anyone may have left it."""
    event = {"_id": id, "type": type, "account_id": world.account, "data": {"contact_id": contact_id}}
    done = {"status": "dead", "onward": ["workflows"], "occurred_at": datetime.now(UTC)}
    world.db["crm_events"].insert_one({**event, **done})


def waiting_events(world: World) -> list[Any]:
    return [one["_id"] for one in world.db["crm_events"].find({"onward": "workflows"})]


async def test_an_event_with_an_odd_type_keeps_no_other_from_being_taken(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("add_tag", tag="x"))
    for odd in ODD_TYPES:
        ended(world, ObjectId(), odd, contact(world))
    one = contact(world)
    happened(world, "contact.created", one)

    await work(flow, world)

    assert [found["contact_id"] for found in enrollments(world)] == [one]
    assert waiting_events(world) == []


async def test_an_event_that_cannot_be_taken_is_set_aside_alone(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("add_tag", tag="x"))
    contacts = [contact(world) for _ in range(3)]
    happened(world, "contact.created", contacts[0])
    ended(world, {"of": "many"}, "contact.created", contacts[1])
    happened(world, "contact.created", contacts[2])

    await work(flow, world)

    assert {found["contact_id"] for found in enrollments(world)} == {contacts[0], contacts[2]}
    assert waiting_events(world) == [{"of": "many"}]
    (aside,) = world.db["quarantine"].find()
    assert (aside["collection"], aside["document_id"]) == ("crm_events", {"of": "many"})
    assert "workflows" in aside["reason"]


@pytest.mark.parametrize(("size", "has_reason"), [(9 * 2**20, True), (2**24, False)], ids=["large", "full"])
async def test_a_workflow_too_large_for_enrolments_is_refused_alone(
    world: World, flow: WorkflowApp, size: int, has_reason: bool
) -> None:
    large = workflow(world, step("set_field", field="note", value=""))
    document = world.db["workflows"].find_one_and_delete({"_id": large}) or {}
    document["steps"][0]["config"]["value"] = "x" * (size - len(bson.encode(document)))
    world.db["workflows"].insert_one(document)
    good = workflow(world, step("add_tag", tag="x"))
    for _ in range(2):
        happened(world, "contact.created", contact(world))

    await work(flow, world)

    assert [found["workflow_id"] for found in enrollments(world)] == [good, good]
    assert waiting_events(world) == []
    stored = world.db["workflows"].find_one({"_id": large}) or {}
    assert ("MB are allowed" in stored.get("error", "")) is has_reason, "a full one has no room for the reason"
    assert [one["document_id"] for one in world.db["quarantine"].find()] == ([] if has_reason else [large])
    assert await find(flow) == []


@pytest.mark.parametrize(
    "times",
    [{"updatedAt": datetime(9999, 12, 31, tzinfo=UTC)}, {"checked_at": [None]}, {"checked_at": MaxKey()}],
    ids=str,
)
async def test_a_workflow_with_strange_times_is_checked_once(
    world: World, flow: WorkflowApp, times: dict[str, Any]
) -> None:
    bad = workflow(world, step("no such type"), **times)
    good = workflow(world, step("add_tag", tag="x"), **times)
    assert [unit.account for unit in await find(flow)] == [str(world.account)]

    await work(flow, world)

    errors = {one["_id"]: one.get("error", "") for one in world.db["workflows"].find()}
    assert ("no such type of step" in errors[bad], errors[good]) == (True, "")
    assert await find(flow) == []


@pytest.mark.parametrize("paused", [None, False, 0, "", [], {}, [None], True, {"since": "x"}], ids=str)
async def test_whatever_stands_in_paused_is_a_pause_to_all_or_to_none(
    world: World, flow: WorkflowApp, paused: Any
) -> None:
    is_pause = paused not in (None, False, 0, "")
    id, one = workflow(world, step("add_tag", tag="x"), paused=paused), contact(world)
    happened(world, "contact.created", one)

    await work(flow, world)

    assert enrollment(world, one)["status"] == ("paused" if is_pause else "completed")
    assert await find(flow) == []
    assert (await flow.repos.workflows.paused_ids() != []) is is_pause
    assert await flow.repos.workflows.resume({"_id": id, "account_id": world.account}) is is_pause


async def test_enrolments_that_no_job_reaches_are_set_aside_alone(world: World, flow: WorkflowApp) -> None:
    id, one = workflow(world, step("add_tag", tag="x")), contact(world)
    own = {"workflow_id": id, "contact_id": one, "account_id": world.account, "status": "active"}
    nameless = [{**own, "_id": ObjectId(), "account_id": stranger} for stranger in ({"$gt": ""}, None, [world.account])]
    world.db["workflow_enrollments"].insert_many([*nameless, {**own, "_id": {"of": "many"}}, own])

    await find(flow)
    await work(flow, world)

    aside = [one["document_id"] for one in world.db["quarantine"].find()]
    assert sorted(map(str, aside)) == sorted(map(str, [*(one["_id"] for one in nameless), {"of": "many"}]))
    assert contact_of(world, one)["tags"] == ["x"]
    assert await find(flow) == []


async def test_an_account_that_is_not_active_has_no_place_in_the_lane(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("wait", seconds=5), step("add_tag", tag="x"))
    contacts = [contact(world), contact(world)]
    for one in contacts:
        happened(world, "contact.created", one)
    await work(flow, world)
    world.abandon("workflow_enrollments", enrollment(world, contacts[0])["_id"])
    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": False}}, upsert=True)
    flow.clock.set(flow.clock.now() + timedelta(seconds=6))
    assert [await find(flow), await find_abandoned(flow)] == [[], []]
    assert not any(unit.jobs for unit in await find_due_now(flow))

    world.db["_accounts"].update_one({"_id": world.account}, {"$set": {"active": True}})
    for look in (find, find_abandoned):
        assert [unit.account for unit in await look(flow)] == [str(world.account)]
    await work(flow, world)
    assert [contact_of(world, one)["tags"] for one in contacts] == [["x"], ["x"]]


@pytest.mark.parametrize("odd", [{"$gt": ""}, Regex("."), DBRef("x", 1), None, 7], ids=str)
async def test_an_enrolment_in_what_is_no_workflow_is_cancelled(world: World, flow: WorkflowApp, odd: Any) -> None:
    one = contact(world)
    own = {"workflow_id": odd, "contact_id": one, "account_id": world.account, "status": "active"}
    world.db["workflow_enrollments"].insert_one(own)

    await work(flow, world)

    (found,) = enrollments(world)
    assert (found["status"], found["reason"]) == ("cancelled", "the workflow does not exist any more")


async def test_an_event_that_waits_for_all_workflows_is_replayed_to_a_webhook(world: World, flow: WorkflowApp) -> None:
    """`events replay --webhook ID` restricts only what webhooks do with it."""
    id, one = workflow(world, step("add_tag", tag="x")), contact(world)
    happened(world, "contact.created", one, only={"webhooks": str(ObjectId())}, onward=["workflows", "webhooks"])

    await work(flow, world)

    assert enrollment(world, one)["workflow_id"] == id
    assert contact_of(world, one)["tags"] == ["x"]


@pytest.mark.parametrize("form", [ObjectId, str])
@pytest.mark.parametrize(
    ("name", "collection"),
    [("owner", "users"), ("tags", "tags"), ("tags.0", "tags"), ("stage_id", "pipeline_stages")],
)
async def test_set_field_refers_to_nothing_of_another_account(
    world: World, flow: WorkflowApp, name: str, collection: str, form: type
) -> None:
    foreign = ObjectId()
    owner = {"account": ObjectId(), "account_id": ObjectId()}
    world.db[collection].insert_one({"_id": foreign, **owner})
    value = [form(str(foreign))] if name == "tags" else form(str(foreign))
    workflow(world, step("set_field", fields={"title": "Boss", name: value}))
    one = contact(world)
    happened(world, "contact.created", one)

    await work(flow, world)

    found, person = enrollment(world, one), contact_of(world, one)
    assert (found["status"], OTHER_TENANT in found["reason"]) == ("failed", True)
    assert "title" not in person


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("address.city", "12 Main St"),
        ("address.city", ["12 Main St"]),
        ("address.city", [{"city": "Ulm"}]),
        ("address.geo.lat", {"geo": "north"}),
    ],
)
async def test_set_field_destroys_nothing_where_it_finds_no_object(
    world: World, flow: WorkflowApp, name: str, address: Any
) -> None:
    workflow(world, step("set_field", fields={"title": "Boss", name: "Rome"}))
    one = contact(world, address=address)
    happened(world, "contact.created", one)

    await work(flow, world)

    found, person = enrollment(world, one), contact_of(world, one)
    assert (found["status"], found["reason"].count("no object: address")) == ("failed", 1)
    assert (person["address"], "title" in person) == (address, False)


@pytest.mark.parametrize(
    "fields", [{}, {"address": None}, {"address": {"geo": None}}, {"address": {"geo": {"lon": 1}}}]
)
async def test_set_field_makes_the_objects_that_are_missing(
    world: World, flow: WorkflowApp, fields: dict[str, Any]
) -> None:
    workflow(world, step("set_field", fields={"address.geo.lat": 2, "address.city": "Rome"}))
    one = contact(world, **fields)
    happened(world, "contact.created", one)

    await work(flow, world)

    address = contact_of(world, one)["address"]
    assert (address["geo"]["lat"], address["city"]) == (2, "Rome")
    assert address["geo"].get("lon") == (1 if "lon" in str(fields) else None)


async def test_set_field_sets_and_removes_an_owner_of_the_account(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("set_field", field="owner", value=world.user), step("set_field", field="tags", value=["a"]))
    workflow(world, step("set_field", field="owner", value=None), type="contact.updated")
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)
    assert (contact_of(world, one)["owner"], contact_of(world, one)["tags"]) == (world.user, ["a"])

    happened(world, "contact.updated", one)
    await work(flow, world)
    assert contact_of(world, one)["owner"] is None


async def test_a_workflow_beyond_what_an_account_may_have_says_so(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_engine.repos.workflows.MAX_OF_ACCOUNT", 2)
    monkeypatch.setattr("pipeline_engine.domain.workflows.enroll.MAX_OF_ACCOUNT", 2)
    ids = [workflow(world, step("add_tag", tag=f"t{n}")) for n in range(3)]
    happened(world, "contact.created", contact(world))
    await work(flow, world)
    assert {one["workflow_id"] for one in enrollments(world)} == set(ids[:2])
    stored = world.db["workflows"].find_one({"_id": ids[2]}) or {}
    assert stored["error"].startswith("the account has 2 older active workflows")
    assert stored["checked_at"] is not None

    world.db["workflows"].update_one({"_id": ids[0]}, {"$set": {"active": False}})
    happened(world, "contact.created", contact(world))
    await work(flow, world)
    assert len(enrollments(world, workflow_id=ids[2])) == 1
    assert "error" not in (world.db["workflows"].find_one({"_id": ids[2]}) or {"error": 1})
