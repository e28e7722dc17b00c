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
