"""Pauses of workflows and the waits of those whom they hold."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.workflows import control
from pipeline_engine.domain.workflows.migration import WorkflowMigration, migrate
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
    REPLY,
    Document,
    WorkflowApp,
    contact,
    contact_of,
    enrollment,
    happened,
    later,
    step,
    work,
    workflow,
)
from tests.support.world import World

DAY = 86400
WAITS = [
    step("wait", seconds=DAY),
    step("wait_for_event", type=REPLY, timeout_seconds=DAY),
]
TAG = step("add_tag", tag="x")


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


async def begun(world: World, flow: WorkflowApp) -> ObjectId:
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)
    return one


async def resumed(world: World, flow: WorkflowApp, id: ObjectId) -> None:
    await control.resume(flow, id)
    await work(flow, world)


async def test_a_reply_during_a_pause_is_heard_when_the_pause_ends(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("wait_for_event", type=REPLY, timeout_seconds=3 * DAY), TAG)
    one, silent = await begun(world, flow), await begun(world, flow)
    deadline = enrollment(world, silent)["deadline"]
    await control.pause(flow, id)
    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await later(flow, world, hours=1)
    assert contact_of(world, one)["tags"] == []

    await resumed(world, flow, id)

    assert contact_of(world, one)["tags"] == ["x"]
    found = enrollment(world, silent)
    assert (found["status"], found["next_at"]) == ("active", found["deadline"])
    assert found["deadline"] - deadline >= timedelta(hours=1)


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait["type"])
@pytest.mark.parametrize("by", ["event", "migration"])
async def test_who_comes_to_a_wait_during_a_pause_waits_all_of_it(
    world: World, flow: WorkflowApp, wait: Document, by: str
) -> None:
    id = workflow(world, *([wait, TAG] if by == "event" else [step("wait", seconds=9 * DAY)]))
    if by == "migration":
        one = await begun(world, flow)
        await control.pause(flow, id)
        world.db["workflows"].update_one({"_id": id}, {"$set": {"steps": [wait, TAG]}})
        assert await migrate(flow, id) == WorkflowMigration(moved=1, busy=0)
    else:
        await control.pause(flow, id)
        one = await begun(world, flow)
    await later(flow, world, days=2)

    await resumed(world, flow, id)
    await later(flow, world, hours=23)
    assert (contact_of(world, one)["tags"], enrollment(world, one)["status"]) == ([], "active")

    await later(flow, world, hours=2)
    assert contact_of(world, one)["tags"] == ["x"]


async def test_a_reply_counts_of_who_comes_in_during_the_pause(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, step("wait_for_event", type=REPLY, timeout_seconds=DAY, on_timeout="end"), TAG)
    await control.pause(flow, id)
    one = await begun(world, flow)
    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await later(flow, world, days=2)

    await resumed(world, flow, id)

    assert contact_of(world, one)["tags"] == ["x"]
