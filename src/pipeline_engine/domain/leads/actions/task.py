"""Creates a task for the lead's owner, and goes on when it is done or when its time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from pipeline_engine.domain.leads.config import TaskConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.work import Entry, Performed, Results, Slice, Stay, failed, taken
from pipeline_engine.domain.leads.write_documents import document_id, write_documents

TIMED_OUT = "the task was not done in time"


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, TaskConfig)
    new = [entry for entry in entries if entry.position.current_status != "waiting_task"]
    yield await _create(slice, new, config)
    yield await _look(slice, [entry for entry in entries if entry not in new], config)


async def _create(slice: Slice, entries: Sequence[Entry], config: TaskConfig) -> Results:
    if not entries:
        return []
    now = slice.app.clock.now()
    common = {"title": config.title, "due_at": now + config.due_in, "source": "lead_pipeline", "status": "open"}
    fields = [{**common, "assigned_to": entry.lead.get("owner"), "lead_stage_id": entry.id} for entry in entries]
    refused = await write_documents(slice, "tasks", entries, fields)
    waiting = {"current_status": "waiting_task", "perform_at": now + config.timeout}
    return [
        (entry, failed(f"the task cannot be created: {refused[entry.id]}"))
        if entry.id in refused
        else (entry, Stay(replace(entry.position, **waiting)))  # type: ignore[arg-type]
        for entry in entries
    ]


async def _look(slice: Slice, entries: Sequence[Entry], config: TaskConfig) -> Results:
    if not entries:
        return []
    ids = {entry.id: document_id("tasks", entry) for entry in entries}
    done = await slice.app.repos.lead_tasks.done(slice.account_id, list(ids.values()))
    now = slice.app.clock.now()
    return [
        (entry, Performed())
        if ids[entry.id] in done
        else (entry, taken(config.on_timeout, TIMED_OUT) if entry.position.perform_at <= now else Stay())
        for entry in entries
    ]
