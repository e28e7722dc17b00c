"""The demo's part on imports: a file is submitted as the CRM does it, and becomes deals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo import messy_import
from pipeline_engine.cli.demo.demo_run import DemoRun, Facts
from pipeline_engine.cli.demo.sample_crm import sample_deals
from pipeline_engine.cli.import_progress import follow, rows_done, seconds_taken
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

MAX_ERRORS = 3
"""Row errors in the summary."""


async def run(demo: DemoRun) -> Facts:
    """Submit the sample file and follow its import. Raises: Permanent when the import does not complete."""
    async with open_app(demo.settings) as connected:
        app = connected.with_repos(ImportRepos.open)
        import_id = await submit(app, _wanted(demo), _file())
        _, queue = await asyncio.gather(run_once(demo.settings, ["deals.import"]), follow(app, import_id, demo.screen))
        if queue["status"] != "completed":
            raise Permanent(f"the import is {queue['status']}: {queue.get('error')}", "demo")
        figures = await _figures(app, queue)
        events = await _events(demo, import_id)
        return [*figures, ("socket events", events), *await messy_import.run(demo)]


def _wanted(demo: DemoRun) -> NewImport:
    crm = demo.crm
    return NewImport(crm.account, crm.user, crm.pipeline, crm.mappings(), tags=("demo",), name="sample-deals.csv")


async def _file() -> AsyncIterator[bytes]:
    yield sample_deals().encode()


async def _figures(app: App[ImportRepos], queue: Mapping[str, Any]) -> Facts:
    seconds = seconds_taken(queue)
    stages = await app.repos.stages.of_pipeline(queue["account_id"], queue["additional_data"]["pipeline_id"])
    report = await app.repos.csv_imports.of_import(queue["account_id"], queue["_id"]) or {}
    return [
        ("deals", await app.database["deals"].count_documents({"import_id": queue["_id"]})),
        ("stages", ", ".join(stage["name"] for stage in stages)),
        ("errors", queue["progress"]["rows_failed"]),
        *(("", _error_line(error)) for error in report.get("logs", [])[:MAX_ERRORS]),
        ("error CSV", queue["error_csv_key"]),
        ("seconds", round(seconds, 2)),
        ("rows/s", round(rows_done(queue["progress"]) / seconds)),
    ]


def _error_line(error: Mapping[str, Any]) -> str:
    column = f", column {error['column']}" if error["column"] else ""
    return f"row {error['position']}, line {error['line']}{column}: {error['additional_info']}"


async def _events(demo: DemoRun, import_id: ObjectId) -> str:
    """The socket events that the user of this import received, as counts by name."""
    records = await Sink(demo.socket_sink).records()
    mine = [one for one in records if (one.get("payload") or {}).get("data", {}).get("queue_id") == str(import_id)]
    return ", ".join(f"{count} {event}" for event, count in Counter(one["event"] for one in mine).items())
