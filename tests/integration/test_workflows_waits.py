"""Waits of workflows: time, events up to a deadline, branches, pauses; and steps that fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from pipeline_engine.domain.workflows import control, enroll, run
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.stopped_clock import stopped
from tests.support.workflows import (
    Document,
    WorkflowApp,
    branch,
    contact,
    contact_of,
    enrollment,
    field,
    happened,
    later,
    paths,
    step,
    work,
    workflow,
)
from tests.support.world import World

REPLY = "email.replied"


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


def waiting(world: World, *, on_timeout: str = "continue", filter: Document | None = None) -> ObjectId:
    """A workflow that waits a minute for a reply, and then looks whether the contact is hot."""
    config = {"type": REPLY, "timeout_seconds": 60, "on_timeout": on_timeout} | ({"filter": filter} if filter else {})
    hot = branch(field("contact.hot", "eq", True), [step("add_tag", tag="hot")], [step("add_tag", tag="cold")])
    return workflow(world, step("add_tag", tag="begun"), step("wait_for_event", **config), hot)


async def begun(world: World, flow: WorkflowApp, **fields: object) -> ObjectId:
    """A contact that waits for its reply."""
    one = contact(world, **fields)
    happened(world, "contact.created", one)
    await work(flow, world)
    found = enrollment(world, one)
    assert (found["waiting_for"], found["lease_owner"]) == (REPLY, None)
    return one


async def test_an_event_ends_the_wait_and_the_branch_looks_at_the_contact_as_it_is_then(
    world: World, flow: WorkflowApp
) -> None:
    waiting(world)
    one, other = await begun(world, flow), await begun(world, flow)
    world.db["contacts"].update_one({"_id": one}, {"$set": {"hot": True}})
    happened(world, REPLY, one)
    happened(world, REPLY, data={"contactId": other}, occurred_at=flow.clock.now())

    await work(flow, world)

    assert contact_of(world, one)["tags"] == ["begun", "hot"]
    assert contact_of(world, other)["tags"] == ["begun", "cold"]
    assert paths(enrollment(world, one)) == ["1", "2", "3", "3.then.1"]
    assert paths(enrollment(world, other)) == ["1", "2", "3", "3.else.1"]


@pytest.mark.parametrize(("on_timeout", "tags"), [("continue", ["begun", "cold"]), ("end", ["begun"])])
async def test_without_an_event_the_time_out_decides(
    world: World, flow: WorkflowApp, on_timeout: str, tags: list[str]
) -> None:
    waiting(world, on_timeout=on_timeout)
    with stopped(flow.clock):
        one = await begun(world, flow)
        happened(world, "email.received", one)
        happened(world, REPLY, contact(world))
        await later(flow, world, seconds=59)
        assert contact_of(world, one)["tags"] == ["begun"]

        await later(flow, world, seconds=2)

    found = enrollment(world, one)
    assert (contact_of(world, one)["tags"], found["status"]) == (tags, "completed")


async def test_only_an_event_that_passes_the_filter_ends_the_wait(world: World, flow: WorkflowApp) -> None:
    waiting(world, filter={"all": [field("data.campaign", "eq", "may"), field("contact.name", "eq", "Ada")]})
    one = await begun(world, flow)
    happened(world, REPLY, one, data={"campaign": "april"})
    await work(flow, world)
    found = enrollment(world, one)
    assert found["waiting_for"] == REPLY
    assert found["next_at"] == found["deadline"]

    happened(world, REPLY, one, data={"campaign": "may"})
    await work(flow, world)

    assert enrollment(world, one)["status"] == "completed"


@pytest.mark.parametrize("first", [[], [step("wait", seconds=30)], [step("wait", seconds=30), step("end")]])
async def test_an_event_that_came_before_the_wait_began_counts(
    world: World, flow: WorkflowApp, first: list[Document]
) -> None:
    """It came behind the trigger, or while the step before the wait was under way; a branch takes no time."""
    look = [branch(field("data.x", "exists", True), first[1:], [])] if len(first) > 1 else []
    wait = step("wait_for_event", type=REPLY, timeout_seconds=60, on_timeout="end")
    workflow(world, *first[:1], *look, wait, step("add_tag", tag="replied"))
    one, now = contact(world), datetime.now(UTC)
    happened(world, "contact.created", one, occurred_at=now - timedelta(seconds=5))
    happened(world, REPLY, one, occurred_at=now + timedelta(seconds=25 if first else -4))

    await work(flow, world)
    await later(flow, world, seconds=31)

    assert contact_of(world, one)["tags"] == ["replied"]


async def test_an_event_is_late_or_in_time_by_when_it_happened(world: World, flow: WorkflowApp) -> None:
    """The engine was down over the deadline."""
    waiting(world, on_timeout="end")
    in_time, late = await begun(world, flow), await begun(world, flow)
    deadline = enrollment(world, late)["deadline"]
    happened(world, REPLY, in_time, occurred_at=deadline - timedelta(seconds=1))
    happened(world, REPLY, late, occurred_at=deadline + timedelta(seconds=1))

    await later(flow, world, seconds=600)

    assert contact_of(world, in_time)["tags"] == ["begun", "cold"]
    assert contact_of(world, late)["tags"] == ["begun"]


async def test_one_event_ends_one_wait_and_the_trigger_ends_none(world: World, flow: WorkflowApp) -> None:
    wait = step("wait_for_event", type=REPLY, timeout_seconds=60, on_timeout="end")
    workflow(world, wait, step("add_tag", tag="one"), wait, step("add_tag", tag="two"), type=REPLY)
    one = contact(world)
    happened(world, REPLY, one)
    await work(flow, world)
    assert contact_of(world, one)["tags"] == []

    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["one"]

    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["one", "two"]


async def test_a_wait_for_a_deal_hears_of_the_contacts_deals(world: World, flow: WorkflowApp) -> None:
    workflow(world, step("wait_for_event", type="deal.won", timeout_seconds=60), step("add_tag", tag="customer"))
    one = contact(world)
    happened(world, "contact.created", one)
    await work(flow, world)
    deal = world.deal(contact_id=one)
    happened(world, "deal.won", data={"deal_id": str(deal)})

    await work(flow, world)

    assert contact_of(world, one)["tags"] == ["customer"]


async def test_an_event_that_is_taken_while_the_wait_is_stored_is_not_lost(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(world)
    one = contact(world)
    happened(world, "contact.created", one)
    records, taken = type(flow.repos.workflow_records), asyncio.Event()
    before = records.happened

    async def slow(self: object, *args: object) -> object:
        """The event comes right behind the look for it, and is taken before the run releases the enrolment."""
        async for event in before(self, *args):  # type: ignore[arg-type]
            yield event
        if not taken.is_set():
            taken.set()
            happened(world, REPLY, one, occurred_at=flow.clock.now())
            await enroll.run_enroll(flow, None, world.account)

    monkeypatch.setattr(records, "happened", slow)
    await work(flow, world)

    assert taken.is_set()
    assert enrollment(world, one)["status"] == "completed"


@pytest.mark.parametrize("by", ["operator", "crm"])
async def test_a_pause_holds_all_and_puts_off_what_they_wait_for(world: World, flow: WorkflowApp, by: str) -> None:
    id = waiting(world, on_timeout="end")
    one, other = await begun(world, flow), contact(world)
    deadline = enrollment(world, one)["deadline"]
    if by == "operator":
        assert await control.pause(flow, id) == 1
    else:
        since = datetime.now(UTC)
        world.db["workflows"].update_one({"_id": id}, {"$set": {"paused": {"since": since}}})
    happened(world, "contact.created", other)
    await later(flow, world, seconds=100)
    assert [enrollment(world, each)["status"] for each in (one, other)] == ["paused", "paused"]
    assert contact_of(world, other)["tags"] == []

    if by == "operator":
        await control.resume(flow, id)
    else:
        world.db["workflows"].update_one({"_id": id}, {"$unset": {"paused": ""}})
    await work(flow, world)

    found = enrollment(world, one)
    assert found["status"] == "active"
    assert 95 < (found["deadline"] - deadline).total_seconds() < 130
    assert enrollment(world, other)["waiting_for"] == REPLY
    happened(world, REPLY, one, occurred_at=flow.clock.now())
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["begun", "cold"]


async def test_a_pause_stops_a_run_in_the_middle(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = workflow(world, step("add_tag", tag="one"), step("add_tag", tag="two"))
    one = contact(world)
    happened(world, "contact.created", one)
    records = type(flow.repos.workflow_records)
    before = records.change
    calls: list[int] = []

    async def pausing(self: object, *args: object) -> object:
        done = await before(self, *args)  # type: ignore[arg-type]
        if not calls:
            calls.append(1)
            await control.pause(flow, id)
        return done

    monkeypatch.setattr(records, "change", pausing)
    await work(flow, world)
    assert contact_of(world, one)["tags"] == ["one"]
    assert (enrollment(world, one)["status"], paths(enrollment(world, one))) == ("paused", [])

    await control.resume(flow, id)
    await work(flow, world)
    assert (contact_of(world, one)["tags"], enrollment(world, one)["status"]) == (["one", "two"], "completed")


@pytest.mark.covers("CL-03", "CL-09", "CL-X3")
async def test_a_step_that_fails_is_tried_after_1_5_and_30_s_and_can_be_retried_by_hand(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow(world, step("add_tag", tag="one"), step("create_task", title="x"), step("add_tag", tag="two"))
    one = contact(world)
    happened(world, "contact.created", one)
    world.demand("tasks", {"title": "y"})
    broken = type(flow.repos.written_by_workflows("tasks"))

    async def fails(*_: object) -> dict[int, str]:
        raise OSError("no way")

    insert = broken.insert
    monkeypatch.setattr(broken, "insert", fails)
    with stopped(flow.clock):
        for attempt, pause in enumerate((1, 5, 30), 1):
            await work(flow, world)
            found = enrollment(world, one)
            rest = (found["next_at"] - flow.clock.now()).total_seconds()
            assert (found["attempts"], found["status"]) == (attempt, "active")
            assert pause - 0.5 < rest <= pause * 1.25
            flow.clock.set(flow.clock.now() + timedelta(seconds=pause * 1.3))
        await work(flow, world)

    found = enrollment(world, one)
    assert (found["status"], "no way" in found["reason"], contact_of(world, one)["tags"]) == ("failed", True, ["one"])
    (letter,) = world.db["dead_letters"].find()
    assert (letter["lane"], letter["function"], letter["args"]) == (
        "crm-workflow-bridge",
        "workflow.retry",
        [str(found["_id"])],
    )
    assert [one["attempt"] for one in letter["errors"]] == [1, 2, 3, 4]

    monkeypatch.setattr(broken, "insert", insert)
    world.db.command("collMod", "tasks", validator={})
    await control.run_retry(flow, None, found["_id"])
    await run.run_steps(flow, None, world.account)
    assert (enrollment(world, one)["status"], contact_of(world, one)["tags"]) == ("completed", ["one", "two"])
