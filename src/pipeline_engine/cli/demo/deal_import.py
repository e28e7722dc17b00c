"""The deal import's part of the demo: a file goes in as the CRM would send it, and becomes deals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli.demo.sample_deals import sample_deals
from pipeline_engine.cli.demo.stage import Facts, Stage
from pipeline_engine.cli.imports.follow import follow, rows_done, seconds_taken
from pipeline_engine.domain.imports.submit import NewImport, submit
from pipeline_engine.embedded.sink import Sink
from pipeline_engine.errors import Permanent
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import open_app

SHOWN = 3
"""So many errors are told."""


async def run(stage: Stage) -> Facts:
    async with open_app(stage.settings) as app:
        import_id = await submit(app, _wanted(stage), _file())
        _, queue = await asyncio.gather(
            run_once(stage.settings, ["deals.import"]), follow(app, import_id, stage.screen)
        )
        if queue["status"] != "completed":
            raise Permanent(f"the import is {queue['status']}: {queue.get('error')}", "demo")
        return [*await _figures(app, queue), ("socket events", await _heard(stage, import_id))]


def _wanted(stage: Stage) -> NewImport:
    crm = stage.crm
    return NewImport(crm.account, crm.user, crm.pipeline, crm.mappings(), tags=("demo",), name="sample-deals.csv")


async def _file() -> AsyncIterator[bytes]:
    yield sample_deals().encode()


async def _figures(app: App, queue: Mapping[str, Any]) -> Facts:
    seconds = seconds_taken(queue)
    stages = await app.stages.of_pipeline(queue["account_id"], queue["additional_data"]["pipeline_id"])
    report = await app.csv_imports.of_import(queue["account_id"], queue["_id"]) or {}
    return [
        ("deals", await app.database["deals"].count_documents({"import_id": queue["_id"]})),
        ("stages", ", ".join(stage["name"] for stage in stages)),
        ("errors", queue["progress"]["rows_failed"]),
        *(("", _told(error)) for error in report.get("logs", [])[:SHOWN]),
        ("error CSV", queue["error_csv_key"]),
        ("seconds", round(seconds, 2)),
        ("rows/s", round(rows_done(queue["progress"]) / seconds)),
    ]


def _told(error: Mapping[str, Any]) -> str:
    column = f", column {error['column']}" if error["column"] else ""
    return f"row {error['position']}, line {error['line']}{column}: {error['additional_info']}"


async def _heard(stage: Stage, import_id: ObjectId) -> str:
    """What the user of this import would have seen come in."""
    await run_once(stage.settings, ["events.outbox"])
    records = await Sink(stage.socket_sink).records()
    mine = [one for one in records if (one.get("payload") or {}).get("data", {}).get("queue_id") == str(import_id)]
    return ", ".join(f"{count} {event}" for event, count in Counter(one["event"] for one in mine).items())
