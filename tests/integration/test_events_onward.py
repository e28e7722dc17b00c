"""Each of those who take consumed events takes one whatever stands in its field `onward`, and comes to an end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline_engine.domain.activity_log import write
from pipeline_engine.domain.webhooks import fan_out
from pipeline_engine.domain.workflows import enroll
from pipeline_engine.repos.activity_log import ActivityRepos
from pipeline_engine.repos.webhook_repos import WebhookRepos
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.world import World

TAKERS: dict[str, tuple[Any, Any]] = {
    "activity": (write.run_log, ActivityRepos.open),
    "workflows": (enroll.run_enroll, WorkflowRepos.open),
    "webhooks": (fan_out.run_fan_out, WebhookRepos.open),
}


@pytest.mark.parametrize("name", TAKERS)
async def test_a_name_that_is_no_list_is_taken_too(world: World, app: EngineApp, name: str) -> None:
    event = {"type": "contact.created", "account_id": world.account, "data": {}, "occurred_at": datetime.now(UTC)}
    world.db["crm_events"].insert_one({"_id": "odd", "status": "done", "onward": name, **event})
    world.db["crm_events"].insert_one({"_id": "good", "status": "done", "onward": ["other", name], **event})
    run, repos = TAKERS[name]

    assert await run(app.with_repos(repos), None, world.account) is None, "it does not come back"

    left = {one["_id"]: one.get("onward") for one in world.db["crm_events"].find()}
    assert left == {"odd": None, "good": ["other"]}
