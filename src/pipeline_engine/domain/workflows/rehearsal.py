"""Runs a workflow for one contact without writing or sending anything, and says what each step would do."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.filters import matches
from pipeline_engine.domain.workflows.control import account_of, look_up
from pipeline_engine.domain.workflows.program import Program
from pipeline_engine.domain.workflows.step import COLLECTIONS, StepRun, WorkflowStep, event_facts
from pipeline_engine.domain.workflows.steps.branch import Branching
from pipeline_engine.domain.workflows.steps.table import STEP_TYPES
from pipeline_engine.domain.workflows.steps.wait_for_event import WaitingForEvent
from pipeline_engine.domain.workflows.workflow import Document, Workflow, enrollment, read_workflow
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.logs import clean
from pipeline_engine.repos.workflow_repos import WorkflowRepos

MAX_SECONDS = 60.0


@dataclass(frozen=True)
class RehearsedStep:
    """A step and what it would do; `fails`: the run would end there."""

    path: str
    type: str
    would: str
    fails: bool = False


@dataclass(frozen=True)
class Rehearsal:
    """`triggers`: whether the event given, or an event without data, would enrol the contact."""

    workflow: ObjectId
    contact: ObjectId
    triggers: bool
    steps: list[RehearsedStep]


async def rehearse(
    app: App[WorkflowRepos],
    workflow_id: ObjectId,
    contact_id: ObjectId,
    data: Mapping[str, Any] | None = None,
    happens: Collection[str] = (),
) -> Rehearsal:
    """`data`: of the event that triggers it; `happens`: types of events that come before their wait is over.

    Raises: Permanent `not_found`, or `bad_workflow`.
    """
    document = await look_up(app, workflow_id)
    workflow, account_id = read_workflow(document), account_of(document)
    found = await app.repos.workflow_records.read(COLLECTIONS["contact"], account_id, [contact_id])
    if not (contact := next(iter(found.values()), None)):
        raise Permanent(f"the workflow's account has no contact {contact_id}", "not_found")
    event = {"_id": "test", "type": workflow.type, "occurred_at": app.clock.now(), "data": data or {}}
    one = {**enrollment(workflow, ObjectId(), contact["_id"], event, app.clock.now()), "account_id": account_id}
    records: dict[str, Document] = {"contact": contact, "event": event, "deal": {}, "lead": {}}
    steps = await _go_through(app, account_id, one, workflow, records, happens)
    triggers = matches(workflow.filter, {**event_facts(event), "contact": contact, "deal": {}, "lead": {}})
    return Rehearsal(workflow_id, contact_id, triggers, steps)


async def _go_through(
    app: App[WorkflowRepos],
    account_id: ObjectId,
    enrollment: Document,
    workflow: Workflow,
    records: dict[str, Document],
    happens: Collection[str],
) -> list[RehearsedStep]:
    done: list[RehearsedStep] = []
    program, number = workflow.program, 0
    while number < len(program):
        step = program[number]
        run = StepRun(app, account_id, enrollment, step, time.monotonic() + MAX_SECONDS, records=records)
        try:
            would = await STEP_TYPES[step.type].rehearse(run, step.config)
        except (Permanent, RateLimited, Transient) as error:
            return [*done, RehearsedStep(step.path, step.type, f"would fail: {clean(str(error))}", fails=True)]
        came = isinstance(step.config, WaitingForEvent) and step.config.type in happens
        done.append(RehearsedStep(step.path, step.type, f"{step.config.type} comes: goes on" if came else would))
        number = await _next(run, program, came)
    return done


async def _next(run: StepRun, program: Program, came: bool) -> int:
    step: WorkflowStep = run.step
    if step.type == "end":
        return len(program)
    if isinstance(step.config, WaitingForEvent) and step.config.on_timeout == "end" and not came:
        return len(program)
    if isinstance(step.config, Branching):
        return step.then if matches(step.config.condition, await run.facts(step.config.condition)) else step.otherwise
    return step.then
