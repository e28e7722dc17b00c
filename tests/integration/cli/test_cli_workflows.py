"""`workflows` and `explain workflow` as commands, and workflows in `run-once`."""

from __future__ import annotations

import json

import pytest
from bson import ObjectId

from tests.support.command_line import CommandLine
from tests.support.workflows import (
    branch,
    contact,
    contact_of,
    email_template,
    enrollment,
    enrollments,
    field,
    step,
    workflow,
)
from tests.support.world import World

REPLY = "email.replied"


def inserted(world: World, type: str, contact_id: ObjectId, **data: object) -> None:
    """As a plain client of MongoDB does."""
    event = {"_id": str(ObjectId()), "type": type, "account_id": world.account, "status": "new"}
    world.db["crm_events"].insert_one({**event, "data": {"contactId": str(contact_id), **data}})


@pytest.mark.covers("CL-08")
def test_an_inserted_event_goes_all_the_way_in_one_call(engine: CommandLine, world: World) -> None:
    wait = step("wait_for_event", type=REPLY, timeout_seconds=3600)
    id = workflow(world, step("add_tag", tag="new"), wait, step("add_tag", tag="replied"))
    chained = workflow(world, step("create_task", title="x"), type="contact.updated")
    one = contact(world)
    inserted(world, "contact.created", one, source="form")

    first = engine("run-once", "events.outbox", "--json")

    assert first.returncode == 0, first.stderr
    (summary,) = json.loads(first.stdout.splitlines()[-1])["sweeps"]
    assert summary["failed"] == summary["busy"] == 0
    assert (enrollment_of(world, one, id)["status"], contact_of(world, one)["tags"]) == ("active", ["new"])
    # What the workflow changed is an event of its own, and starts the next one.
    assert enrollment_of(world, one, chained)["status"] == "completed"

    inserted(world, REPLY, one)
    assert engine("run-once", "events.outbox").returncode == 0
    assert (enrollment_of(world, one, id)["status"], contact_of(world, one)["tags"]) == (
        "completed",
        ["new", "replied"],
    )
    assert world.db["tasks"].count_documents({}) == 1


def enrollment_of(world: World, contact_id: ObjectId, workflow_id: ObjectId) -> dict[str, object]:
    (found,) = enrollments(world, contact_id=contact_id, workflow_id=workflow_id)
    return found


def test_a_bad_workflow_is_marked_without_any_event(engine: CommandLine, world: World) -> None:
    id = workflow(world, step("fly"), name="Birds")
    assert engine("run-once", "events.outbox").returncode == 0
    stored = world.db["workflows"].find_one({"_id": id})
    assert stored
    assert "step 1 (fly): no such type of step" in stored["error"]
    assert "no such type" in " ".join(engine("workflows", "show", id).stdout.split())
    assert "Birds" in engine("workflows").stdout


def test_a_workflow_is_rehearsed_and_nothing_leaves(engine: CommandLine, world: World) -> None:
    mail = step("send_email", email_template_id=email_template(world, "Dear {{ contact.name }}"))
    wait = step("wait_for_event", type=REPLY, timeout_seconds=60, on_timeout="end")
    hot = branch(field("contact.tags", "contains", "hot"), [step("create_task", title="Call {{ contact.name }}")], [])
    id = workflow(world, step("add_tag", tag="hot"), mail, wait, hot, filter=field("data.source", "eq", "form"))
    one = contact(world)

    silent = engine("workflows", "test", id, "--contact", one)
    assert silent.returncode == 0, silent.stderr
    assert "would not enrol" in silent.stdout
    assert "Dear Ada" in silent.stdout
    assert "would create" not in silent.stdout
    data = ["--data", '{"source": "form"}', "--happens", REPLY, "--json"]
    replied = json.loads(engine("workflows", "test", id, "--contact", one, *data).stdout.splitlines()[-1])
    assert replied["triggers"] is True
    assert [step["path"] for step in replied["steps"]] == ["1", "2", "3", "4", "4.then.1"]
    assert "Call Ada" in replied["steps"][-1]["would"]

    assert contact_of(world, one)["tags"] == []
    written = ("workflow_enrollments", "effects", "tasks", "crm_events")
    assert [world.db[name].count_documents({}) for name in written] == [0, 0, 0, 0]
    assert engine("workflows", "test", id, "--contact", ObjectId()).returncode == 1
    assert engine("workflows", "test", id, "--contact", one, "--data", "[]").returncode == 2


def test_a_workflow_is_paused_explained_and_migrated(engine: CommandLine, world: World) -> None:
    wait = step("wait", seconds=3600)
    id = workflow(world, step("add_tag", tag="x"), wait, step("add_tag", tag="y"))
    one = contact(world)
    inserted(world, "contact.created", one)
    assert engine("run-once", "events.outbox").returncode == 0
    found = enrollment(world, one)

    explained = engine("explain", "workflow", found["_id"]).stdout
    assert "step 2 (wait)" in explained
    assert "changed tags" in explained
    paused = engine("workflows", "pause", id)
    assert "1 contacts wait" in paused.stdout
    assert engine("workflows", "pause", id).returncode == 1
    assert "workflows resume" in engine("explain", "workflow", found["_id"]).stdout
    assert "paused" in engine("workflows", "show", id).stdout

    world.db["workflows"].update_one({"_id": id}, {"$set": {"steps": [step("add_tag", tag="z")], "version": 2}})
    preview = engine("workflows", "migrate", id)
    assert "step 2 (wait)" in preview.stdout
    assert "completed" in preview.stdout
    assert "1 contacts have the steps" in engine("workflows", "migrate", id, "--yes").stdout
    assert engine("workflows", "resume", id).returncode == 0
    assert engine("run-once", "events.outbox").returncode == 0
    assert (enrollment(world, one)["status"], contact_of(world, one)["tags"]) == ("completed", ["x"])
    assert (
        json.loads(engine("explain", "workflow", found["_id"], "--json").stdout.splitlines()[-1])["status"]
        == "completed"
    )


@pytest.mark.parametrize("words", [("workflows", "show"), ("workflows", "pause"), ("explain", "workflow")])
def test_what_is_no_workflow_and_what_is_no_id(engine: CommandLine, words: tuple[str, ...]) -> None:
    refused = engine(*words, id := ObjectId())
    assert (refused.returncode, str(id) in refused.stderr) == (1, True)
    assert engine(*words, "x").returncode == 2
