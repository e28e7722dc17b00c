"""A step that an operator retries: what it wrote before is not written twice, nor is a mail sent twice unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.domain.workflows import control
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import open_app
from tests.support.stand_ins.scripted_smtp import ScriptedSmtp
from tests.support.workflows import (
    WorkflowApp,
    contact,
    contact_of,
    email_template,
    enrollment,
    happened,
    step,
    work,
    workflow,
)
from tests.support.world import World

HOOK = ObjectId()
WRITING = {
    "tasks": step("create_task", title="Call"),
    "ai_notifications": step("notify", title="New"),
    "webhook_deliveries": step("webhook", webhook_id=HOOK),
    "crm_events": step("set_field", field="title", value="Boss"),
}


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtp]:
    async with ScriptedSmtp() as smtp:
        yield smtp


@pytest.fixture
async def flow(environment: dict[str, str], smtp: ScriptedSmtp) -> AsyncIterator[WorkflowApp]:
    mail = {"SMTP_URL": smtp.url, "SMTP_FROM": "Sales <sales@crm.example>"}
    async with open_app(settings.from_environment({**environment, **mail})) as app:
        yield app.with_repos(WorkflowRepos.open)


@pytest.mark.parametrize("collection", WRITING)
async def test_a_step_that_failed_behind_its_effect_writes_nothing_twice(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch, collection: str
) -> None:
    world.db["webhooks"].insert_one({"_id": HOOK, "account_id": world.account, "url": "https://x.example"})
    workflow(world, WRITING[collection])
    one = contact(world, owner=world.user)
    happened(world, "contact.created", one)
    repo = type(flow.repos.enrollments)
    change = repo.change

    async def fails(self: Any, held: Any, values: Any, **rest: Any) -> Any:
        if "log" in values:
            raise Permanent("on purpose", "refused")
        return await change(self, held, values, **rest)

    monkeypatch.setattr(repo, "change", fails)
    await work(flow, world)
    assert enrollment(world, one)["status"] == "failed"
    monkeypatch.setattr(repo, "change", change)

    await control.run_retry(flow, None, enrollment(world, one)["_id"])
    await work(flow, world)

    assert enrollment(world, one)["status"] == "completed"
    query = {"type": "contact.updated"} if collection == "crm_events" else {}
    assert world.db[collection].count_documents(query) == 1
    world.db["webhooks"].delete_one({"_id": HOOK})


async def test_who_was_enrolled_by_hand_goes_on_when_the_workflow_is_mended(world: World, flow: WorkflowApp) -> None:
    id, one = workflow(world, step("no such type")), contact(world)
    own = {"workflow_id": id, "contact_id": one, "account_id": world.account, "status": "active"}
    world.db["workflow_enrollments"].insert_one(own)
    await work(flow, world)
    found = enrollment(world, one)
    assert (found["status"], "no such type" in found["reason"]) == ("failed", True)
    world.db["workflows"].update_one({"_id": id}, {"$set": {"steps": [step("add_tag", tag="x")]}})

    await control.run_retry(flow, None, found["_id"])
    await work(flow, world)

    assert (enrollment(world, one)["status"], contact_of(world, one)["tags"]) == ("completed", ["x"])


@pytest.mark.parametrize(
    ("before", "mails", "ambiguous"),
    [
        ({"state": "failed"}, 1, False),
        ({"state": "failed", "ambiguous": True}, 1, True),
        ({"state": "sending"}, 1, True),
        ({"state": "unknown", "ambiguous": True}, 1, True),
        ({"state": "sent"}, 0, None),
    ],
)
async def test_the_send_of_a_retried_step_knows_the_sends_before(
    world: World, flow: WorkflowApp, smtp: ScriptedSmtp, before: dict[str, Any], mails: int, ambiguous: bool | None
) -> None:
    smtp.script["RCPT"].extend(["550 no"] * 2)
    workflow(world, step("send_email", email_template_id=email_template(world)))
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)
    world.db["effects"].update_one({}, {"$set": before})
    id = enrollment(world, one)["_id"]
    await control.run_retry(flow, None, id)
    if mails:  # the doubt outlives a retry that fails without any
        await work(flow, world)
        assert enrollment(world, one)["status"] == "failed"
        await control.run_retry(flow, None, id)

    smtp.script["RCPT"].clear()
    await work(flow, world)

    assert (enrollment(world, one)["status"], len(smtp.accepted)) == ("completed", mails)
    later = [effect for effect in world.db["effects"].find() if effect["_id"].endswith(".2")]
    assert [(effect["state"], effect["ambiguous"]) for effect in later] == [("sent", ambiguous)] * mails
