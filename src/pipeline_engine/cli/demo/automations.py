"""The demo's part on automations: the deals of one stage get tags, notes and mails, and move to the next stage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

STAGE, NEXT = "negotiation", "closed won"
TEMPLATE = {"subject": "About {{ deal.name }}", "html": "<p>Dear {{ deal.contact_name }}, shall we sign?</p>"}


async def run(demo: DemoRun) -> Facts:
    """Run one automation of each type, except those that need an outside service (SMS and the CRM's own API)."""
    async with open_app(demo.settings) as connected:
        app = connected.with_repos(ImportRepos.open)
        automations = await _insert(app, demo)
        (result,) = (await run_once(demo.settings, ["deals.automations"])).results
        mails = await Sink(demo.smtp_sink).records()
        done = {type: await _done(app, demo, id) for type, id in automations.items()}
    return [
        (f"deals in {STAGE!r}", max(done.values())),
        *done.items(),
        ("first mail to", mails[0]["recipients"][0] if mails else None),
        ("mails received", len(mails)),
        ("seconds", result.seconds),
    ]


async def _insert(app: App[ImportRepos], demo: DemoRun) -> dict[str, ObjectId]:
    """Insert the automations of the stage. Returns {type: id}."""
    crm, database = demo.crm, app.database
    stages = {one["name"]: one["_id"] for one in await app.repos.stages.of_pipeline(crm.account, crm.pipeline)}
    template, tag = ObjectId(), ObjectId()
    await database["email_templates"].insert_one({"_id": template, "account_id": crm.account, **TEMPLATE})
    await database["tags"].insert_one({"_id": tag, "account_id": crm.account, "name": "hot"})
    configs: Mapping[str, Document] = {
        "add_tag": {"tag": tag},
        "note": {"note": "Reached the table by itself"},
        "reminder": {"reminder_type": "call", "title": "Call them", "due_in": 86_400},
        "follower": {"follower_id": crm.user},
        "email": {"email_template_id": template},
        "stage": {"target_stage_id": stages[NEXT]},
    }
    documents = {type: _automation(demo, type, stages[STAGE], config) for type, config in configs.items()}
    await database["automations"].insert_many(documents.values())
    return {type: document["_id"] for type, document in documents.items()}


def _automation(demo: DemoRun, type: str, stage_id: ObjectId, config: Document) -> dict[str, Any]:
    who = {"account_id": demo.crm.account, "created_by": demo.crm.user}
    state = {"status": "ACTIVE", "module": "DEAL", "delay": 0, "is_running": False}
    made = datetime.now(UTC) - timedelta(hours=1)
    return {"_id": ObjectId(), "type": type, "stage_id": stage_id, **who, **state, **config, "createdAt": made}


async def _done(app: App[ImportRepos], demo: DemoRun, automation: ObjectId) -> int:
    query = {"account_id": demo.crm.account, "automation_triggered": automation}
    return await app.database["deals"].count_documents(query)
