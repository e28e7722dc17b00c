"""The deal and lead of a run: which the event names, and of which a wait hears."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.workflows import (
    REPLY,
    WorkflowApp,
    branch,
    contact,
    contact_of,
    enrollment,
    field,
    happened,
    later,
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


def waiting(world: World, type: str = REPLY) -> ObjectId:
    return workflow(world, step("wait_for_event", type=type, timeout_seconds=3 * 86400, on_timeout="end"), TAG)


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


@pytest.mark.parametrize("name", ["lead_id", "leadId"])
async def test_a_wait_hears_of_an_event_that_names_only_its_lead(world: World, flow: WorkflowApp, name: str) -> None:
    waiting(world)
    one, other = contact(world), contact(world)
    leads = {person: lead_of(world) for person in (one, other)}
    for person, lead in leads.items():
        happened(world, "contact.created", person, data={"lead_id": str(lead)})
    await work(flow, world)

    happened(world, REPLY, data={name: leads[one]}, occurred_at=flow.clock.now())
    await work(flow, world)

    assert (contact_of(world, one)["tags"], contact_of(world, other)["tags"]) == (["heard"], [])


@pytest.mark.parametrize("type", [REPLY, "deal.won"])
@pytest.mark.parametrize("name", ["deal_id", "deals"])
async def test_a_wait_hears_of_its_deal_that_has_another_contact_now(
    world: World, flow: WorkflowApp, type: str, name: str
) -> None:
    waiting(world, type)
    one = contact(world)
    deal = world.deal(contact_id=one)
    happened(world, "contact.created", one, data={"deal_id": str(deal)})
    await work(flow, world)
    world.db["deals"].update_one({"_id": deal}, {"$set": {"contact_id": contact(world)}})

    happened(world, type, data={name: [deal] if name == "deals" else deal}, occurred_at=flow.clock.now())
    await work(flow, world)

    assert contact_of(world, one)["tags"] == ["heard"]


async def test_a_wait_for_a_deal_hears_of_one_whose_event_names_another_contact(
    world: World, flow: WorkflowApp
) -> None:
    waiting(world, "deal.won")
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)

    deal = world.deal(contact_id=one)
    happened(world, "deal.won", contact(world), data={"deal_id": str(deal)}, occurred_at=flow.clock.now())
    await work(flow, world)

    assert contact_of(world, one)["tags"] == ["heard"]


async def test_a_clock_that_runs_ahead_makes_no_wait_deaf(world: World, flow: WorkflowApp) -> None:
    wait = step("wait_for_event", type=REPLY, timeout_seconds=3600, on_timeout="end")
    workflow(world, wait, step("add_tag", tag="one"), wait, step("add_tag", tag="two"), type=REPLY)
    one, ahead = contact(world), timedelta(minutes=10)
    happened(world, REPLY, one, occurred_at=flow.clock.now() + ahead)
    await work(flow, world)

    happened(world, REPLY, one, occurred_at=flow.clock.now() + ahead)
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["one"], "neither the trigger nor the first reply ends the second wait"

    await later(flow, world, seconds=1)
    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["one", "two"]
