"""The demo's part on CRM events: new contacts get a score and an owner, and go through a workflow."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.repos.client import Document
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

CONTACTS = 40
TEMPLATE = {"subject": "Welcome, {{ contact.name }}", "html": "<p>We are glad that you are here.</p>"}


async def run(demo: DemoRun) -> Facts:
    """Publish an event for each new contact, and show what follows from the events."""
    sink = Sink(demo.smtp_sink)
    async with open_app(demo.settings) as app:
        await _workflow(app, demo)
        contacts = await _contacts(app, demo)
        publisher = EventPublisher(app)
        for id in contacts:
            source = "form" if contacts.index(id) % 2 else "import"
            await publisher.publish("contact.created", {"contact_id": id, "source": source}, demo.crm.account)
        before = len(await sink.records())
        (done,) = (await run_once(demo.settings, ["events.outbox"])).results
        mails = len(await sink.records()) - before
        own = {"account_id": demo.crm.account}
        after = await app.database["contacts"].find({"_id": {"$in": contacts}}).to_list(None)
        enrolled = await app.database["workflow_enrollments"].count_documents({**own, "status": "completed"})
        logged = await app.database["activity_log"].count_documents(own)
    scores = Counter(one["lead_score"] for one in after)
    return [
        ("events", len(contacts)),
        ("scores", ", ".join(f"{score} for {count}" for score, count in sorted(scores.items()))),
        ("with an owner", sum(one.get("owner") is not None for one in after)),
        ("through the workflow", enrolled),
        ("welcomed by mail", mails),
        ("in the activity log", logged),
        ("seconds", done.seconds),
    ]


async def _workflow(app: App, demo: DemoRun) -> None:
    """Insert a member of the team, and a workflow for contacts who filled a form."""
    template, own = ObjectId(), {"account_id": demo.crm.account}
    await app.database["team_members"].insert_one({**own, "user_id": demo.crm.user, "role": "admin", "active": True})
    await app.database["email_templates"].insert_one({"_id": template, **own, **TEMPLATE})
    steps: list[Document] = [
        {"type": "add_tag", "config": {"tag": "new"}},
        {"type": "send_email", "config": {"email_template_id": template}},
        {"type": "create_task", "config": {"title": "Say hello", "due_in_seconds": 86_400}},
    ]
    by_form = {"all": [{"field": "data.source", "op": "eq", "value": "form"}]}
    trigger = {"type": "contact.created", "filter": by_form}
    await app.database["workflows"].insert_one(
        {**own, "name": "Welcome", "active": True, "version": 1, "trigger": trigger, "reentry": "never", "steps": steps}
    )


async def _contacts(app: App, demo: DemoRun) -> list[Any]:
    contacts = [
        {"_id": ObjectId(), "account_id": demo.crm.account, "name": f"Contact {n}", "email": f"c{n}@people.example"}
        for n in range(CONTACTS)
    ]
    await app.database["contacts"].insert_many(contacts)
    return [one["_id"] for one in contacts]
