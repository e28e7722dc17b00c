"""Sequences on real servers without the lanes between: tests decide when the job runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, TypeAlias

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.sequences import run
from pipeline_engine.lanes import Outcome, Snooze
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.repos.sequence_repos import SequenceRepos
from pipeline_engine.settings import Settings
from tests.support.engine_app import open_app
from tests.support.world import World

Document = dict[str, Any]
SequenceApp: TypeAlias = App[SequenceRepos]
MAX_SLICES = 50
HOUR = 3600


@asynccontextmanager
async def open_sequences(settings: Settings) -> AsyncIterator[SequenceApp]:
    async with open_app(settings) as app:
        yield app.with_repos(SequenceRepos.open)


def template(
    world: World, subject: str = "Hello {{ contact.name }}", text: str = "Dear {{ contact.name }}"
) -> ObjectId:
    found = {"account_id": world.account, "subject": subject, "text": text}
    return ObjectId(world.db["email_templates"].insert_one(found).inserted_id)


def sequence(world: World, *delays: float, **fields: Any) -> ObjectId:
    """An active sequence with a mail after each of these delays in seconds."""
    steps = [
        {"delay_seconds": delay, "email_template_id": template(world, f"Mail {n}")} for n, delay in enumerate(delays)
    ]
    own = {"account_id": world.account, "active": True, "steps": steps, **fields}
    return ObjectId(world.db["sequences"].insert_one(own).inserted_id)


def contact(world: World, **fields: Any) -> ObjectId:
    id = ObjectId()
    person = {"name": "Ada", "email": f"{id}@example.com", "tags": [], **fields}
    world.db["contacts"].insert_one({"_id": id, "account_id": world.account, **person})
    return id


def enroll(world: World, sequence_id: ObjectId, contact_id: ObjectId | None = None, **fields: Any) -> ObjectId:
    """Enrol the contact, or a new one, as the CRM does. Returns the id of the enrolment."""
    id, now = ObjectId(), datetime.now(UTC)
    own = {"account_id": world.account, "sequence_id": sequence_id, "contact_id": contact_id or contact(world)}
    begun = {"status": "active", "step": 0, "next_at": now - timedelta(seconds=1), "createdAt": now}
    world.db["workflow_enrollments"].insert_one({"_id": id, **own, **begun, **fields})
    return id


def enrollment(world: World, id: ObjectId) -> Document:
    found = world.db["workflow_enrollments"].find_one({"_id": id})
    assert found
    return found


async def work(app: SequenceApp, world: World) -> Outcome | None:
    """The account's job, for as long as it comes back because its slice was over."""
    hosts = PublicHosts(app.settings.allow_private_hosts)
    for _ in range(MAX_SLICES):
        await app.heartbeat.beat()  # no heartbeat runs here
        outcome = await run.run_sequences(app, hosts, world.account)
        if not isinstance(outcome, Snooze):
            return outcome
    raise AssertionError("the job does not come to its end")


async def later(app: SequenceApp, world: World, **time: float) -> None:
    """As `work`, after this time: the engine's clock is moved."""
    app.clock.set(app.clock.now() + timedelta(**time))
    await work(app, world)


def read(raw: bytes) -> EmailMessage:
    """A mail as a server received it."""
    found = message_from_bytes(raw.removesuffix(b".\r\n"), policy=default)
    assert isinstance(found, EmailMessage)
    return found
