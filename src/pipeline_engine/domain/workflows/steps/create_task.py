"""Creates a task about the contact, for its owner or for a user that the step names."""

from __future__ import annotations

from datetime import timedelta

from pipeline_engine.domain.workflows.merge_records import fill_in
from pipeline_engine.domain.workflows.step import Lasting, NonBlank, RecordId, StepConfig, StepPassed, StepRun
from pipeline_engine.domain.workflows.write_document import write_documents


class TaskCreation(StepConfig):
    title: NonBlank
    due_in_seconds: Lasting = 0
    assigned_to: RecordId | None = None


async def perform(run: StepRun, config: TaskCreation) -> StepPassed:
    contact = await run.contact()
    if config.assigned_to is not None:
        await run.app.shared.references.check("users", [config.assigned_to], run.account_id)
    texts = await fill_in(run, {"title": config.title})
    task = {
        **texts,
        "due_at": run.arrived_at() + timedelta(seconds=config.due_in_seconds),
        "assigned_to": config.assigned_to or contact.get("owner"),
        "source": "workflow",
        "status": "open",
    }
    await write_documents(run, "tasks", [task])
    return StepPassed("created a task")


async def rehearse(run: StepRun, config: TaskCreation) -> str:
    texts = await fill_in(run, {"title": config.title})
    return f"would create a task: {texts['title']}"
