"""Edited steps brought to those who are under way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.workflows.migration import StepMove, WorkflowMigration, migrate, preview
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
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

WAIT, NOTE = step("wait", seconds=60), step("create_task", title="Seen")


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


def edit(world: World, id: ObjectId, *steps: Document) -> None:
    world.db["workflows"].update_one({"_id": id}, {"$set": {"steps": list(steps), "version": 2}})


async def begun(world: World, flow: WorkflowApp) -> ObjectId:
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)
    return one


async def test_who_waits_at_an_unchanged_step_waits_on_and_nothing_is_repeated(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, NOTE, WAIT, step("add_tag", tag="old"))
    one = await begun(world, flow)
    due = enrollment(world, one)["next_at"]
    edit(world, id, step("add_tag", tag="early"), NOTE, WAIT, NOTE, step("add_tag", tag="new"))

    assert await preview(flow, id) == [(StepMove("step 2 (wait)", "step 3 (wait)", True), 1)]
    assert enrollment(world, one)["workflow_version"] == 1
    assert await migrate(flow, id) == WorkflowMigration(moved=1, busy=0)
    assert await preview(flow, id) == []
    assert enrollment(world, one)["next_at"] == due
    await later(flow, world, seconds=61)

    assert contact_of(world, one)["tags"] == ["new"]
    # The second note is a step of its own, the first was written before.
    assert world.db["tasks"].count_documents({}) == 2


async def test_a_step_at_the_same_place_takes_over(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, NOTE, WAIT, step("add_tag", tag="old"))
    one = await begun(world, flow)
    edit(world, id, NOTE, step("add_tag", tag="now"))

    (move,) = await preview(flow, id)
    assert move == (StepMove("step 2 (wait)", "step 2 (add_tag)", False), 1)
    await migrate(flow, id)
    await work(flow, world)

    assert (contact_of(world, one)["tags"], enrollment(world, one)["status"]) == (["now"], "completed")


async def test_who_stands_behind_the_new_end_is_completed(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, NOTE, WAIT)
    one = await begun(world, flow)
    edit(world, id, NOTE)

    assert (await preview(flow, id))[0][0].there is None
    await migrate(flow, id)
    await work(flow, world)

    assert enrollment(world, one)["status"] == "completed"


async def test_who_is_just_acting_is_left_and_counted(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, NOTE, WAIT)
    one = await begun(world, flow)
    held = {"lease_owner": "x", "lease_until": flow.clock.now() + timedelta(minutes=1)}
    world.db["workflow_enrollments"].update_one({"contact_id": one}, {"$set": held})
    edit(world, id, NOTE)

    done = await migrate(flow, id)

    assert (done.moved, done.busy) == (0, 1)
    assert enrollment(world, one)["workflow_version"] == 1


async def test_steps_that_cannot_be_read_are_not_brought_to_anyone(world: World, flow: WorkflowApp) -> None:
    id = workflow(world, NOTE, WAIT)
    await begun(world, flow)
    edit(world, id, step("fly"))

    with pytest.raises(Permanent, match="no such type of step"):
        await migrate(flow, id)
