"""The demo's part on scheduled jobs: interest fades, contacts move on, and lost ones are taken up again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.repos.client import Document
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

CONTACTS = 30
LOST = 6
JOBS = ("crm.intent_decay", "crm.lifecycle", "crm.lead_recycling")
DAY = timedelta(days=1)
PERSON = {"company": "Acme", "title": "Buyer", "phone": "+14155550100"}


async def run(demo: DemoRun) -> Facts:
    """Let contacts show interest in the last weeks, run three jobs for them, and show what has become of the
    contacts."""
    async with open_app(demo.settings) as app:
        contacts = await _interested(app, demo)
        lost = await _lost(app, demo)
        done = (await run_once(demo.settings, JOBS)).results
        found = await app.database["contacts"].find({"_id": {"$in": [*contacts, *lost]}}).to_list(None)
        steps = await app.database["contact_lifecycle_history"].count_documents({"account_id": demo.crm.account})
        tasks = await app.database["tasks"].count_documents({"source": "lead_recycling"})
    interested = [one for one in found if one["_id"] in contacts]
    return [
        ("contacts with signals", len(interested)),
        ("their intent", _counts(interested, "intent_level")),
        ("lifecycle stages", _counts(interested, "lifecycle_stage")),
        ("steps in their history", steps),
        ("lost contacts", f"{len(lost)}, of whom {_counts(found, 'status')}"),
        ("tasks to follow up", tasks),
        ("seconds", round(sum(one.seconds for one in done), 2)),
    ]


async def _interested(app: App, demo: DemoRun) -> list[ObjectId]:
    """Insert contacts with a demo request, a form and a page view of the last weeks. Half have been called."""
    own, now = {"account_id": demo.crm.account}, datetime.now(UTC)
    ids = [ObjectId() for _ in range(CONTACTS)]
    await app.database["contacts"].insert_many([_person(n, {"_id": id, **own}) for n, id in enumerate(ids)])
    signals = [
        {**own, "contact_id": id, "type": type, "points": points, "occurred_at": now - age * n - DAY / 2}
        for n, id in enumerate(ids)
        for type, points, age in (("demo_request", 50, DAY), ("form_submission", 20, DAY / 4), ("page_view", 5, DAY))
    ]
    await app.database["intent_signals"].insert_many(signals)
    calls = [{**own, "contact_id": id, "type": "call", "occurred_at": now - DAY} for id in ids[::2]]
    await app.database["activities"].insert_many(calls)
    return ids


def _person(n: int, own: Document) -> Document:
    return {**own, **PERSON, "name": f"Person {n}", "email": f"person{n}@buyers.example", "lifecycle_stage": "lead"}


async def _lost(app: App, demo: DemoRun) -> list[ObjectId]:
    """Insert contacts who were lost long ago, half of whom have looked at a page this week."""
    own, now = {"account_id": demo.crm.account}, datetime.now(UTC)
    ids = [ObjectId() for _ in range(LOST)]
    gone = {"status": "lost", "status_changed_at": now - 120 * DAY, "owner": demo.crm.user}
    await app.database["contacts"].insert_many([{"_id": id, **own, **gone, "name": f"Lost {id}"} for id in ids])
    views = [{**own, "contact_id": id, "type": "page_view", "occurred_at": now - 3 * DAY} for id in ids[::2]]
    await app.database["activities"].insert_many(views)
    return ids


def _counts(contacts: list[dict[str, Any]], field: str) -> str:
    counts = Counter(str(one[field]) for one in contacts if one.get(field))
    return ", ".join(f"{count} {value}" for value, count in sorted(counts.items()))
