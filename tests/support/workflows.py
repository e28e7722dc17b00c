"""Workflows on real servers without the lanes between: tests decide which job runs when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.workflows import enroll, run
from pipeline_engine.lanes import Snooze
from pipeline_engine.repos.workflow_repos import WorkflowRepos
from tests.support.world import World

Document = dict[str, Any]
REPLY = "email.replied"
WorkflowApp: TypeAlias = App[WorkflowRepos]
Job = Callable[..., Awaitable[Any]]
MAX_SLICES = 50


def step(type: str, /, **config: Any) -> Document:
    return {"type": type, "config": config}


def field(name: str, op: str, value: Any) -> Document:
    return {"field": name, "op": op, "value": value}


def branch(condition: Document, then: list[Document], otherwise: list[Document]) -> Document:
    return {"type": "branch", "config": {"if": condition, "then": then, "else": otherwise}}


def workflow(
    world: World, *steps: Document, type: str = "contact.created", filter: Document | None = None, **fields: Any
) -> ObjectId:
    """An active workflow with these steps."""
    id, now = ObjectId(), datetime.now(UTC)
    own = {"account_id": world.account, "active": True, "version": 1, "createdAt": now, "updatedAt": now}
    trigger = {"type": type} | ({"filter": filter} if filter else {})
    world.db["workflows"].insert_one({"_id": id, **own, "trigger": trigger, "steps": list(steps), **fields})
    return id


def contact(world: World, **fields: Any) -> ObjectId:
    id = ObjectId()
    person = {"name": "Ada", "email": f"{id}@example.com", "phone": "+15005550006", "tags": []}
    world.db["contacts"].insert_one({"_id": id, "account_id": world.account, **person, **fields})
    return id


def contact_of(world: World, id: ObjectId) -> Document:
    found = world.db["contacts"].find_one({"_id": id})
    assert found
    return found


def happened(world: World, type: str, contact_id: ObjectId | None = None, **fields: Any) -> str:
    """A consumed event that workflows have not taken."""
    id = str(ObjectId())
    data = {"contact_id": str(contact_id)} if contact_id else {}
    done = {"status": "done", "handed_on": True, "onward": ["workflows"], "occurred_at": datetime.now(UTC)}
    own = {"_id": id, "type": type, "account_id": world.account, "data": data | fields.pop("data", {})}
    world.db["crm_events"].insert_one({**own, **done, **fields})
    return id


def enrollments(world: World, **where: Any) -> list[Document]:
    return list(world.db["workflow_enrollments"].find(where).sort("enrolled_at"))


def enrollment(world: World, contact_id: ObjectId) -> Document:
    """The contact's only enrolment in a workflow."""
    (found,) = enrollments(world, contact_id=contact_id, workflow_id={"$exists": True})
    return found


def paths(enrollment: Document) -> list[str]:
    """The steps that were performed."""
    return [one["path"] for one in enrollment.get("log", [])]


async def work(app: WorkflowApp, world: World, rounds: int = 3) -> None:
    """Both jobs of the account, so often that what one makes due is done by the other."""
    for _ in range(rounds):
        await again(app, world, enroll.run_enroll)
        await again(app, world, run.run_steps)


async def again(app: WorkflowApp, world: World, job: Job) -> None:
    """The job, for as long as it comes back because its slice was over: on a busy machine that is often."""
    for _ in range(MAX_SLICES):
        await app.heartbeat.beat()  # no heartbeat runs here
        if not isinstance(await job(app, None, world.account), Snooze):
            return


async def later(app: WorkflowApp, world: World, **time: float) -> None:
    """As `work`, after this time: the engine's clock is moved."""
    app.clock.set(app.clock.now() + timedelta(**time))
    await work(app, world)


def email_template(world: World, text: str = "Hello {{ contact.name }}") -> ObjectId:
    found = {"account_id": world.account, "subject": "Hello", "text": text}
    return ObjectId(world.db["email_templates"].insert_one(found).inserted_id)


def inserted(world: World, type: str, contact_id: ObjectId) -> None:
    """As a plain client of MongoDB does."""
    event = {"_id": ObjectId(), "type": type, "account_id": world.account, "status": "new"}
    data = {"contact_id": contact_id}
    world.db["crm_events"].insert_one({**event, "data": data, "occurred_at": datetime.now(UTC)})


def waiting_workflow(world: World, *first: Document) -> ObjectId:
    """Tags, waits for a reply, branches and creates a task."""
    wait = step("wait_for_event", type=REPLY, timeout_seconds=600)
    hot = branch(field("contact.hot", "eq", True), [step("add_tag", tag="hot")], [step("add_tag", tag="cold")])
    return workflow(world, step("add_tag", tag="begun"), *first, wait, hot, step("create_task", title="Call"))
