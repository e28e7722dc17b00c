"""A process that dies at any call of a workflow: nothing lost, nothing twice, the same outcome."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from bson import ObjectId

from pipeline_engine import failpoints
from pipeline_engine.domain.claimed import MAX_CRASHES
from pipeline_engine.domain.workflows import perform
from pipeline_engine.domain.workflows.step import StepResult, StepRun
from pipeline_engine.failpoints import FaultPlan
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.engine_app import EngineApp
from tests.support.events import carry_events
from tests.support.workflows import (
    WorkflowApp,
    branch,
    contact,
    contact_of,
    enrollment,
    field,
    happened,
    paths,
    step,
    work,
    workflow,
)
from tests.support.world import World

REPLY = "email.replied"
POINTS = [
    ("mongo.workflow_enrollments.insert_many", 1),
    ("mongo.crm_events.update_many", 1),
    *(("mongo.workflow_enrollments.find_one_and_update", nth) for nth in range(1, 9)),
    ("mongo.contacts.update_many", 1),
    ("mongo.contacts.update_many", 3),
    ("mongo.tasks.insert_many", 1),
    ("mongo.crm_events.insert_one", 1),
    ("mongo.workflow_enrollments.update_one", 1),
    ("mongo.workflow_enrollments.update_many", 1),
]


class Died(BaseException):
    """Stands for the end of the process: no handler of the engine catches it."""


def begin(world: World) -> list[ObjectId]:
    """Three contacts, two of which answer."""
    wait = step("wait_for_event", type=REPLY, timeout_seconds=3600, filter=field("data.nice", "eq", True))
    nice = branch(field("contact.tags", "contains", "begun"), [step("create_task", title="Call")], [step("end")])
    greet = step("create_task", title="Greet")
    workflow(world, step("add_tag", tag="begun"), greet, wait, nice, step("add_tag", tag="z"))
    contacts = [contact(world) for _ in range(3)]
    moment = datetime.now(UTC) - timedelta(seconds=9)
    for one in contacts:
        happened(world, "contact.created", one, occurred_at=moment)
    return contacts


def answer(world: World, contacts: list[ObjectId]) -> None:
    for one, nice in zip(contacts, (True, True, False), strict=True):
        happened(world, REPLY, one, data={"nice": nice})


def check(world: World, contacts: list[ObjectId]) -> None:
    for one, replied in zip(contacts, (True, True, False), strict=True):
        found = enrollment(world, one)
        assert found["status"] == ("completed" if replied else "active")
        assert paths(found) == ["1", "2", "3", "4", "4.then.1", "5"][: 6 if replied else 2]
        assert contact_of(world, one)["tags"] == (["begun", "z"] if replied else ["begun"])
        assert found["lease_owner"] is None
    assert Counter(task["title"] for task in world.db["tasks"].find()) == {"Greet": 3, "Call": 2}
    assert world.db["crm_events"].count_documents({"type": "contact.updated"}) == 5
    assert world.db["workflow_enrollments"].count_documents({"events_due.event_id": {"$exists": True}}) == 0
    assert world.db["crm_events"].count_documents({"onward": "workflows"}) == 0


@pytest.fixture
def flow(app: EngineApp) -> WorkflowApp:
    return app.with_repos(WorkflowRepos.open)


async def revive(flow: WorkflowApp, world: World) -> None:
    """What happens after the end of a process: its leases run out, and the relay carries the events that it left."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    world.db["workflow_enrollments"].update_many({"lease_owner": {"$gt": ""}}, {"$set": {"lease_until": past}})
    await work(flow, world)
    await carry_events(flow)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), POINTS)
async def test_a_run_goes_on_after_a_crash_at_any_call(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch, point: str, nth: int, when: str
) -> None:
    async def die(_plan: FaultPlan) -> None:
        raise Died

    monkeypatch.setattr(failpoints, "_inject", die)
    contacts = begin(world)
    failpoints.arm(msgspec.json.encode({"failpoint": point, "do": "kill", "when": when, "nth": nth}).decode(), None)
    died = False
    try:
        for replies in (False, True):
            if replies:
                answer(world, contacts)
            try:
                await work(flow, world)
            except Died:
                died = True
                await revive(flow, world)
    finally:
        failpoints.disarm()
    await revive(flow, world)

    assert died
    check(world, contacts)


async def test_an_enrolment_that_ends_its_process_is_given_up_and_takes_no_others_with_it(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow(world, step("add_tag", tag="a"), step("add_tag", tag="b"))
    bad, *others = (contact(world) for _ in range(8))
    for one in (bad, *others):
        happened(world, "contact.created", one)
    crashes: dict[ObjectId, list[int]] = defaultdict(list)

    async def killing(run: StepRun) -> StepResult:
        crashes[run.enrollment["contact_id"]].append(run.enrollment["crashes"])
        if run.enrollment["contact_id"] == bad:
            raise Died
        await asyncio.sleep(0)
        return await original(run)

    original = perform._perform
    monkeypatch.setattr(perform, "_perform", killing)
    for _ in range(MAX_CRASHES):
        with pytest.raises(Died):
            await revive(flow, world)
    await revive(flow, world)

    assert crashes[bad] == [0, 1, 2]
    assert max(count for one in others for count in crashes[one]) <= 1
    assert {enrollment(world, one)["status"] for one in others} == {"completed"}
    failed = enrollment(world, bad)
    assert (failed["status"], failed["reason"]) == ("failed", "3 runs in a row ended in the middle")
    assert world.db["dead_letters"].count_documents({"args": str(failed["_id"])}) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_ten_random_crashes_change_nothing_of_the_outcome(
    world: World, flow: WorkflowApp, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)  # noqa: S311
    rest = [0]

    async def maybe_die(_name: str, _nth: int, _when: str) -> None:
        rest[0] -= 1
        if rest[0] == 0:
            raise Died

    failpoints.arm(None, None)
    armed = failpoints._armed
    assert armed is not None
    monkeypatch.setattr(armed, "reach", maybe_die)
    contacts, deaths = begin(world), 0
    try:
        for n in range(60):
            if n == 5:
                answer(world, contacts)
            rest[0] = random.randint(2, 60) if deaths < 10 else 0
            try:
                await work(flow, world, rounds=1)
            except Died:
                deaths += 1
                rest[0] = 0
                past = datetime.now(UTC) - timedelta(minutes=1)
                left = {"lease_owner": {"$gt": ""}}
                world.db["workflow_enrollments"].update_many(left, {"$set": {"lease_until": past, "crashes": 0}})
    finally:
        failpoints.disarm()
    await revive(flow, world)

    assert deaths == 10
    check(world, contacts)
