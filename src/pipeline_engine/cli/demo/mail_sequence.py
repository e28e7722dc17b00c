"""The demo's part on sequences: contacts get a first mail, some answer, and the others get the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

CONTACTS, REPLIES = 30, 8
SWEEP = "crm.sequence_email"
FIRST = {
    "subject": "An idea for {{ contact.name }}",
    "html": "<p>Dear {{ contact.name }}, may I show you something?</p>",
}
SECOND = {"subject": "", "html": "<p>Dear {{ contact.name }}, did you see my mail?</p>"}


async def run(demo: DemoRun) -> Facts:
    """Enrol contacts, let some reply after the first mail, and show who gets the second."""
    sink = Sink(demo.smtp_sink)
    async with open_app(demo.settings) as app:
        contacts = await _enrolled(app, demo)
        before = len(await sink.records())
        (first,) = (await run_once(demo.settings, [SWEEP])).results
        mails = len(await sink.records()) - before
        publisher = EventPublisher(app)
        for id in contacts[:REPLIES]:
            await publisher.publish("email.replied", {"contact_id": str(id)}, demo.crm.account)
        await run_once(demo.settings, ["events.outbox"])
        await _let_time_pass(app, contacts)
        (second,) = (await run_once(demo.settings, [SWEEP])).results
        follow_ups = len(await sink.records()) - before - mails
        ends = await _ends(app, contacts)
    return [
        ("contacts", len(contacts)),
        ("first mails", mails),
        ("answered", ends["replied"]),
        ("follow-ups, in the same thread", follow_ups),
        ("had both mails", ends["completed"]),
        ("seconds", round(first.seconds + second.seconds, 2)),
    ]


async def _enrolled(app: App, demo: DemoRun) -> list[ObjectId]:
    """Insert a sequence of two mails and enrol contacts, as the CRM does. Returns the contacts."""
    own, now = {"account_id": demo.crm.account}, datetime.now(UTC)
    first, second, sequence = ObjectId(), ObjectId(), ObjectId()
    await app.database["email_templates"].insert_many(
        [{"_id": first, **own, **FIRST}, {"_id": second, **own, **SECOND}]
    )
    steps = [{"email_template_id": first}, {"delay_business_days": 3, "email_template_id": second}]
    await app.database["sequences"].insert_one({"_id": sequence, **own, "active": True, "steps": steps})
    ids = [ObjectId() for _ in range(CONTACTS)]
    people = [
        {"_id": id, **own, "name": f"Prospect {n}", "email": f"prospect{n}@firm.example"} for n, id in enumerate(ids, 1)
    ]
    await app.database["contacts"].insert_many(people)
    begun = {**own, "sequence_id": sequence, "status": "active", "step": 0, "next_at": now, "createdAt": now}
    await app.database["workflow_enrollments"].insert_many([{**begun, "contact_id": id} for id in ids])
    return ids


async def _let_time_pass(app: App, contacts: Sequence[ObjectId]) -> None:
    """Make the second mails due, which would otherwise be sent three business days later."""
    waiting = {"contact_id": {"$in": list(contacts)}, "status": "active"}
    past = datetime.now(UTC) - timedelta(seconds=1)
    await app.database["workflow_enrollments"].update_many(waiting, {"$set": {"next_at": past}})


async def _ends(app: App, contacts: Sequence[ObjectId]) -> Counter[Any]:
    found = app.database["workflow_enrollments"].find({"contact_id": {"$in": list(contacts)}}, projection=["status"])
    return Counter([one["status"] async for one in found])
