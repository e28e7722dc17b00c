"""Consumed events go onward to those who take them, and each taker comes to an end whatever stands in `onward`."""

from __future__ import annotations

import pkgutil
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId, Regex

from pipeline_engine.domain.activity_log import write
from pipeline_engine.domain.consumers.sweep import find
from pipeline_engine.domain.webhooks import fan_out
from pipeline_engine.domain.workflows import enroll
from pipeline_engine.repos.activity_log import ActivityRepos
from pipeline_engine.repos.consumer_repos import ConsumerRepos
from pipeline_engine.repos.webhook_repos import WebhookRepos
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.crm_events import contact, created, event_of, work
from tests.support.engine_app import EngineApp
from tests.support.webhooks import webhook
from tests.support.workflows import step, workflow
from tests.support.world import World

READERS = {
    "activity": "pipeline_engine.domain.activity_log.write.entry_of",
    "workflows": "pipeline_engine.domain.workflows.enroll.subjects_of",
    "webhooks": "pipeline_engine.domain.webhooks.fan_out.wanted",
}
"""{name: a function that reads events}"""
TAKERS: dict[str, tuple[Any, Any]] = {
    "activity": (write.run_log, ActivityRepos.open),
    "workflows": (enroll.run_enroll, WorkflowRepos.open),
    "webhooks": (fan_out.run_fan_out, WebhookRepos.open),
}

FOUND: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "nothing": [],
    "a paused workflow": [("workflows", {"paused": {"since": 1}})],
    "an enrolment that waits": [("workflow_enrollments", {"waiting_for": "contact.created", "status": "active"})],
    "an endpoint": [("webhooks", {})],
    "an endpoint that is switched off": [("webhooks", {"active": False})],
    "both": [("webhooks", {"active": True}), ("workflows", {"active": False})],
}
FOR = {
    "a paused workflow": ["workflows"],
    "an enrolment that waits": ["workflows"],
    "an endpoint": ["webhooks"],
    "both": ["workflows", "webhooks"],
}


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("found", FOUND)
async def test_an_event_goes_onward_to_what_its_account_has(
    world: World, app: EngineApp, found: str, as_text: bool
) -> None:
    for collection, fields in FOUND[found]:
        account = str(world.account) if as_text else world.account
        world.db[collection].insert_one({"account_id": account, **fields})
    world.db["webhooks"].insert_one({"account_id": ObjectId()})  # of another account

    event = created(world, contact(world))
    await work(app, world)

    assert event_of(world, event)["onward"] == ["activity", *FOR.get(found, [])]


@pytest.mark.parametrize("name", TAKERS)
async def test_a_name_that_is_no_list_is_taken_too(world: World, app: EngineApp, name: str) -> None:
    event = {"type": "contact.created", "account_id": world.account, "data": {}, "occurred_at": datetime.now(UTC)}
    world.db["crm_events"].insert_one({"_id": "odd", "status": "done", "onward": name, **event})
    world.db["crm_events"].insert_one({"_id": "good", "status": "done", "onward": ["other", name], **event})
    run, repos = TAKERS[name]

    assert await run(app.with_repos(repos), None, world.account) is None, "it does not come back"

    left = {one["_id"]: one.get("onward") for one in world.db["crm_events"].find()}
    assert left == {"odd": None, "good": ["other"]}


@pytest.mark.parametrize("name", TAKERS)
async def test_an_event_that_cannot_be_taken_is_set_aside_alone(
    world: World, app: EngineApp, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"type": "contact.created", "account_id": world.account, "occurred_at": datetime.now(UTC), "status": "done"}
    for id in ("good", "bad"):
        world.db["crm_events"].insert_one({"_id": id, "onward": [name], **event})
    read = pkgutil.resolve_name(READERS[name])

    def fail(*given: Any) -> Any:
        if "'bad'" in repr(given):
            raise ValueError("Private")
        return read(*given)

    monkeypatch.setattr(READERS[name], fail)
    run, repos = TAKERS[name]
    workflow(world, step("add_tag", tag="x"))
    webhook(world, "https://example.com/")

    assert await run(app.with_repos(repos), None, world.account) is None

    (aside,) = world.db["quarantine"].find()
    assert (aside["document_id"], "Private" in aside["reason"]) == ("bad", False)
    assert [one["_id"] for one in world.db["crm_events"].find({"onward": name})] == ["bad"]
    assert await app.shared.crm_events.onward_accounts(name) == []


async def test_a_new_event_of_what_is_no_account_stops_no_sweep(world: World, app: EngineApp) -> None:
    event = {"type": "contact.created", "occurred_at": datetime.now(UTC), "status": "new"}
    for stranger in ({"$gt": ""}, Regex("."), [world.account], None):
        world.db["crm_events"].insert_one({"account_id": stranger, **event})
    world.db["crm_events"].insert_one({"_id": "good", "account_id": str(world.account), **event})
    scope = app.with_repos(ConsumerRepos.open)

    for _ in range(2):
        assert [unit.account for unit in await find(scope)] == [str(world.account)]

    assert world.db["quarantine"].count_documents({"collection": "crm_events", "document_id": {"$ne": "good"}}) == 4
