"""The deal and lead of a run: which the event names."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
    WorkflowApp,
    branch,
    contact,
    enrollment,
    field,
    happened,
    step,
    work,
    workflow,
)
from tests.support.world import World

TAG = step("add_tag", tag="heard")


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


def lead_of(world: World, **fields: Any) -> ObjectId:
    lead = {"account_id": world.account, "name": "Acme", "status": "won", **fields}
    return ObjectId(world.db["leads"].insert_one(lead).inserted_id)


@pytest.mark.parametrize("named_by", ["event", "deal", "event with deal"])
async def test_a_run_has_the_lead_that_its_event_or_deal_names(world: World, flow: WorkflowApp, named_by: str) -> None:
    workflow(world, branch(field("lead.status", "eq", "won"), [step("create_task", title="Ask {{ lead.name }}")], []))
    one, lead = contact(world), lead_of(world)
    deal = world.deal(contact_id=one, lead_id=str(lead))
    data = {"lead_id": str(lead)} if named_by == "event" else {"deal_id": str(deal)}
    happened(world, "contact.created", None if named_by == "deal" else one, data=data)

    await work(flow, world)

    assert enrollment(world, one)["lead_id"] == lead
    assert [task["title"] for task in world.db["tasks"].find()] == ["Ask Acme"]


async def test_a_run_has_no_lead_of_another_account(world: World, flow: WorkflowApp) -> None:
    workflow(world, TAG)
    one, foreign = contact(world), lead_of(world, account_id=ObjectId())
    happened(world, "contact.created", one, data={"lead_id": str(foreign)})

    await work(flow, world)

    assert "lead_id" not in enrollment(world, one)
