"""The demo's part on lead pipelines: an introduction mail, a wait for replies, and what follows from each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.cli.explain_words import verdict
from pipeline_engine.domain.leads.explain import explain
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.lead_repos import LeadRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

LEADS, REPLIES = 60, 20
DAY_SECONDS = 86_400
TEMPLATE = {"subject": "Hello {{ lead.name }}", "html": "<p>Dear {{ lead.name }}, may I introduce us?</p>"}


async def run(demo: DemoRun) -> Facts:
    """Let leads enter a stage, have some of them reply, and show where all of them are."""
    sink = Sink(demo.smtp_sink)
    async with open_app(demo.settings) as connected:
        app = connected.with_repos(LeadRepos.open)
        introduced, responded = await _stages(app, demo)
        leads = await _enter(app, demo, introduced)
        before = len(await sink.records())
        (first,) = (await run_once(demo.settings, ["leads.actions"])).results
        mails = len(await sink.records()) - before
        await _reply(app, demo, leads[:REPLIES])
        (second,) = (await run_once(demo.settings, ["leads.actions"])).results
        where = await _where(app, demo)
        waiting = await explain(app, leads[-1])
    return [
        ("leads", len(leads)),
        ("introduced by mail", mails),
        ("replied", REPLIES),
        ("in 'responded'", where[responded]),
        ("still waiting", where[introduced]),
        ("one of these", verdict(f"action {waiting.action}", waiting.next)),
        ("seconds", round(first.seconds + second.seconds, 2)),
    ]


async def _stages(app: App[LeadRepos], demo: DemoRun) -> tuple[ObjectId, ObjectId]:
    """Insert the stages "introduced" and "responded" with their actions."""
    introduced, responded, template = ObjectId(), ObjectId(), ObjectId()
    own = {"account_id": demo.crm.account, "pipeline_id": demo.crm.pipeline}
    await app.database["email_templates"].insert_one({"_id": template, "account_id": demo.crm.account, **TEMPLATE})
    stages = [{"_id": id, **own, "name": name} for id, name in ((introduced, "introduced"), (responded, "responded"))]
    await app.database["pipeline_stages"].insert_many(stages)
    waits = {"channel": "email", "timeout_seconds": 3 * DAY_SECONDS, "on_response": {"move": responded}}
    actions: list[tuple[ObjectId, str, Document]] = [
        (introduced, "email", {"email_template_id": template}),
        (introduced, "wait_for_response", {**waits, "on_timeout": "continue"}),
        (introduced, "task", {"title": "Call them", "timeout_seconds": 7 * DAY_SECONDS}),
        (responded, "add_tag", {"tag": "warm"}),
        (responded, "owner", {"owner_id": demo.crm.user}),
    ]
    rows = [_action(demo, 10 * n, *one) for n, one in enumerate(actions, 1)]
    await app.database["pipeline_stage_actions"].insert_many(rows)
    return introduced, responded


def _action(demo: DemoRun, number: int, stage_id: ObjectId, type: str, config: Document) -> dict[str, Any]:
    own = {"account_id": demo.crm.account, "stage_id": stage_id, "sequence_number": number}
    return {**own, "type": type, "config": config, "active": True}


async def _enter(app: App[LeadRepos], demo: DemoRun, stage_id: ObjectId) -> list[ObjectId]:
    """Insert leads, and have them enter the stage as the CRM does. Returns their ids."""
    own = {"account_id": demo.crm.account, "pipeline_id": demo.crm.pipeline}
    ids = [ObjectId() for _ in range(LEADS)]
    leads = [
        {"_id": id, **own, "status": "open", "name": f"Lead {n}", "email": f"lead{n}@company.example"}
        for n, id in enumerate(ids, 1)
    ]
    await app.database["leads"].insert_many(leads)
    entry = {**own, "stage_id": stage_id, "status": "entering", "entered_at": datetime.now(UTC)}
    await app.database["lead_stages"].insert_many([{**entry, "lead_id": id} for id in ids])
    return ids


async def _reply(app: App[LeadRepos], demo: DemoRun, leads: Sequence[ObjectId]) -> None:
    reply = {"account_id": demo.crm.account, "channel": "email", "received_at": datetime.now(UTC)}
    await app.database["lead_responses"].insert_many([{**reply, "lead_id": id} for id in leads])


async def _where(app: App[LeadRepos], demo: DemoRun) -> Counter[Any]:
    """How many leads are in each stage."""
    leads = app.database["leads"].find({"account_id": demo.crm.account}, projection=["stage_id"])
    return Counter([lead.get("stage_id") async for lead in leads])
