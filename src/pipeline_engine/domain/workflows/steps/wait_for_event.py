"""Waits for an event of the contact; an event up to the deadline counts, however late the engine sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from pipeline_engine.domain.filters import Filter, matches, read_filter, records_read
from pipeline_engine.domain.workflows.step import (
    Document,
    Lasting,
    NonBlank,
    RunOver,
    StepConfig,
    StepPassed,
    StepResult,
    StepRun,
    StepWaits,
    event_facts,
    happened_at,
)
from pipeline_engine.domain.workflows.steps.branch import ReadFilter


class WaitingForEvent(StepConfig):
    type: NonBlank
    filter: ReadFilter = Field(default_factory=lambda: read_filter(None))
    timeout_seconds: Lasting
    on_timeout: Literal["continue", "end"] = "continue"


async def perform(run: StepRun, config: WaitingForEvent) -> StepResult:
    deadline = run.deadline(config.timeout_seconds)
    await _note(run, config.type, deadline)
    if event := await _first(run, config, deadline):
        did = f"{config.type} came ({event['_id']})"
        return StepPassed(did, since=happened_at(event, run.now), seen=event["_id"])
    if deadline > run.now:
        return StepWaits(None)
    if config.on_timeout == "end":
        return RunOver("completed", f"no {config.type} came in time")
    return StepPassed(f"no {config.type} came in time", since=deadline)


async def _note(run: StepRun, type: str, deadline: datetime) -> None:
    """Store for what the enrolment waits, before looking for it: an event that is taken meanwhile sets `next_at`."""
    if run.claim:
        await run.claim.change(waiting_for=type, deadline=deadline, next_at=deadline)


async def _first(run: StepRun, config: WaitingForEvent, deadline: datetime) -> Document | None:
    one, records = run.enrollment, run.app.repos.workflow_records
    since = one.get("since")
    since = since if isinstance(since, datetime) else run.arrived_at()
    about: dict[str, Any] = {name: one[f"{name}_id"] for name in ("contact", "deal", "lead") if one.get(f"{name}_id")}
    if config.type.startswith("deal."):
        about["deals"] = await records.deals_of(run.account_id, one["contact_id"])
    # Of a clock that ran ahead, the trigger and the event that ended the wait before may seem to come later.
    used = (one.get("event_id"), one.get("seen"))
    async for event in records.happened(run.account_id, config.type, about, since, deadline):
        if event["_id"] not in used and matches(config.filter, await _facts(run, config.filter, event)):
            return event
    return None


async def _facts(run: StepRun, filter: Filter, event: Document) -> dict[str, Any]:
    return {**event_facts(event), **{name: await run.record(name) for name in records_read(filter)}}


async def rehearse(_run: StepRun, config: WaitingForEvent) -> str:
    goes_on = "goes on" if config.on_timeout == "continue" else "ends"
    return f"would wait up to {config.timeout_seconds:g} s for {config.type}; without it, the run {goes_on}"
