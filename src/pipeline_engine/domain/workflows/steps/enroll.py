"""Enrols the contact in a sequence, unless it is under way there."""

from __future__ import annotations

from pipeline_engine.domain.workflows.step import RecordId, StepConfig, StepPassed, StepRun
from pipeline_engine.domain.workflows.write_document import write_documents
from pipeline_engine.errors import Permanent


class SequenceEnrollment(StepConfig):
    sequence_id: RecordId


async def perform(run: StepRun, config: SequenceEnrollment) -> StepPassed:
    await run.contact()
    await _check(run, config)
    contact_id = run.enrollment["contact_id"]
    records = run.app.repos.workflow_records
    if await records.in_sequence(run.account_id, config.sequence_id, contact_id):
        return StepPassed("the contact is in the sequence already")
    row = {"sequence_id": config.sequence_id, "status": "active", "step": 0, "next_at": run.now, "source": "workflow"}
    await write_documents(run, "workflow_enrollments", [row])
    return StepPassed("enrolled in the sequence")


async def _check(run: StepRun, config: SequenceEnrollment) -> None:
    found = await run.app.repos.workflow_records.read("sequences", run.account_id, [config.sequence_id], ["active"])
    if not found:
        raise Permanent(f"this account has no sequence {config.sequence_id}", "missing_sequence")


async def rehearse(run: StepRun, config: SequenceEnrollment) -> str:
    await _check(run, config)
    return f"would enrol the contact in sequence {config.sequence_id}"
