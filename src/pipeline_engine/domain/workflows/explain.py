"""Explains one enrolment: where it stands, what it waits for, what happens next, what was done before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.explanation import Condition, Next, next_of, of_window, step_detail
from pipeline_engine.domain.workflows.program import Program, read_program, step_at
from pipeline_engine.domain.workflows.step import WorkflowStep, send_keys
from pipeline_engine.domain.workflows.workflow import Document, is_paused
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.workflow_repos import WorkflowRepos

WHY_ENDED = {
    "completed": "it was completed",
    "failed": "it failed; `dlq retry` of its dead letter lets it go on",
    "cancelled": "it was cancelled",
    "unsubscribed": "the contact must not be written to",
}


@dataclass(frozen=True)
class EnrollmentEvent:
    """One thing that was recorded of the enrolment."""

    at: datetime
    source: str
    """enrolment, step or effect"""
    state: str
    detail: str = ""


@dataclass(frozen=True)
class EnrollmentExplanation:
    """`cause`: the event that enrolled the contact, and how many events led to it; `ahead`: steps behind the current
    one, as they are written."""

    enrollment: ObjectId
    workflow: Any
    version: Any
    contact: Any
    status: str
    step: str | None
    cause: str | None
    conditions: Sequence[Condition]
    history: Sequence[EnrollmentEvent]
    ahead: Sequence[str]
    next: Next


async def explain(app: App[WorkflowRepos], enrollment_id: ObjectId) -> EnrollmentExplanation:
    """Raises: Permanent `not_found`."""
    one = await app.repos.enrollments.get(enrollment_id)
    if one is None or "workflow_id" not in one:
        raise Permanent(f"there is no enrolment {enrollment_id} in a workflow", "not_found")
    program, step, fault = _read(one)
    effects = await _effects(app, one, program)
    conditions = [*await _conditions(app, one, step, fault), *of_window(effects)]
    due = Next("runs", app.clock.now(), f"at the next look, within {app.settings.event_sweep_seconds:g} s")
    is_open = one.get("status") in ("active", "paused")
    return EnrollmentExplanation(
        enrollment=enrollment_id,
        workflow=one["workflow_id"],
        version=one.get("workflow_version"),
        contact=one.get("contact_id"),
        status=str(one.get("status")),
        step=step.name if step and is_open else None,
        cause=_cause(one),
        conditions=conditions,
        history=_history(one, effects),
        ahead=[other.name for other in program if step and is_open and other.number > step.number],
        next=next_of(conditions, due),
    )


def _read(enrollment: Document) -> tuple[Program, WorkflowStep | None, str | None]:
    if not isinstance(enrollment.get("steps"), list):
        return (), None, None
    try:
        program = read_program(enrollment["steps"])
        return program, step_at(program, enrollment), None
    except Permanent as error:
        return (), None, str(error)


def _cause(enrollment: Document) -> str | None:
    if enrollment.get("event_id") is None:
        return None
    depth = int(enrollment.get("depth") or 0)
    chain = f", behind {depth} others of which each caused the next" if depth else ""
    return f"event {enrollment['event_id']} ({enrollment.get('event_type')}){chain}"


async def _conditions(
    app: App[WorkflowRepos], one: Document, step: WorkflowStep | None, fault: str | None
) -> list[Condition]:
    status, now = str(one.get("status")), app.clock.now()
    reason = f": {clean(str(one['reason']))}" if one.get("reason") else ""
    ended = Next("never", None, f"{WHY_ENDED.get(status, f'its status is {status}')}{reason}")
    under_way = Condition("the run has not ended", status, status in ("active", "paused"), ended)
    if not under_way.passed:
        return [under_way]
    account_id = object_id(one.get("account_id"))
    workflow = await app.repos.workflows.of_account(account_id, one["workflow_id"]) if account_id else None
    is_active = account_id is not None and await app.shared.references.account_is_active(account_id)
    inactive = Next("waits", None, "for the account, which is not active")
    held = Next("waits", None, "for the pause of its workflow: `workflows resume`")
    paused = status == "paused" or is_paused(workflow)
    gone = Next("ends", now, "as its workflow does not exist any more")
    refused = Next("fails", now, f"as its steps are refused: {fault}")
    return [
        under_way,
        Condition("account is active", "active" if is_active else "not active", is_active, inactive),
        Condition("the workflow exists", one["workflow_id"], workflow is not None, gone),
        Condition("the workflow is not paused", "paused" if paused else "not paused", not paused, held),
        Condition("its steps can be read", fault or "yes", fault is None, refused),
        _due(one, step, now),
        _no_attempt_failed(one),
        _free(one, now),
    ]


def _due(one: Document, step: WorkflowStep | None, now: datetime) -> Condition:
    at = usable_date(one.get("next_at"))
    if one.get("waiting_for"):
        why = f"when the wait for {one['waiting_for']} is over, or when one comes"
    else:
        why = f"with {step.name}" if step else "with its first step"
    return Condition("it is due", at or "at once", at is None or at <= now, Next("runs", at, why))


def _no_attempt_failed(one: Document) -> Condition:
    if not one.get("error"):
        return Condition("no attempt failed", "none", True)
    why = f"attempt {one.get('attempts')} failed: {clean(str(one['error']))}"
    at = usable_date(one.get("next_at"))
    return Condition("no attempt failed", why, None, Next("retries", at, why))


def _free(one: Document, now: datetime) -> Condition:
    until, owner = usable_date(one.get("lease_until")), one.get("lease_owner")
    held = until is not None and until >= now
    then = Next("runs", now, f"in the run that has it ({owner}); should that vanish, another takes over at {until}")
    return Condition("no run has it", f"{owner}" if held else "no process", not held, then)


def _history(one: Document, effects: Sequence[Document]) -> list[EnrollmentEvent]:
    found: list[EnrollmentEvent] = []
    if at := usable_date(one.get("enrolled_at")):
        found.append(EnrollmentEvent(at, "enrolment", "enrolled", f"with version {one.get('workflow_version')}"))
    found += [
        EnrollmentEvent(entry["at"], "step", f"{entry['path']} {entry['type']}", str(entry.get("did", "")))
        for entry in one.get("log", ())
    ]
    for effect in effects:
        doubt = ", may have gone out twice" if effect.get("ambiguous") else ""
        steps = effect.get("history") or ()
        found += [
            EnrollmentEvent(step["at"], "effect", step["state"], f"{step_detail(effect, step)}{doubt}")
            for step in steps
        ]
    if at := usable_date(one.get("ended_at")):
        found.append(EnrollmentEvent(at, "enrolment", str(one.get("status")), clean(str(one.get("reason") or ""))))
    return sorted(found, key=lambda event: event.at)


async def _effects(app: App[WorkflowRepos], one: Document, program: Program) -> list[Document]:
    keys = [key for step in program for key in send_keys(one, step)]
    return list(await app.repos.workflow_records.effects(one.get("account_id"), keys))
