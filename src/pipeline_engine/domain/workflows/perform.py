"""Takes one claimed enrolment from step to step: an effect, then one guarded write that says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.claimed import Claim, RunFailure
from pipeline_engine.domain.events.jobs import CONSUME, RETRY_ENROLLMENT, wake
from pipeline_engine.domain.events.relay import publish_due
from pipeline_engine.domain.workflows.program import read_program, step_at
from pipeline_engine.domain.workflows.step import (
    RunOver,
    StepPassed,
    StepResult,
    StepRun,
    StepWaits,
    WorkflowStep,
)
from pipeline_engine.domain.workflows.steps.table import STEP_TYPES
from pipeline_engine.domain.workflows.workflow import read_workflow
from pipeline_engine.errors import Permanent, RateLimited
from pipeline_engine.lanes import DeadLetter
from pipeline_engine.lanes.classify_error import last_traceback_lines
from pipeline_engine.repos.enrollments import ENROLLMENTS, Enrollments
from pipeline_engine.repos.workflow_repos import WorkflowRepos

MAX_ATTEMPTS = 4
"""Calls of one step: the first, and three more after 1, 5 and 30 s."""
ZERO_TIME = frozenset({"branch"})
"""Types of steps that take no time: what ends a wait behind them may have come since the step before began."""

FORGOTTEN = dict.fromkeys(("waiting_for", "deadline", "error", "errors", "retried"), "$$REMOVE")
"""Fields of a step, when it is over."""

EnrollmentClaim = Claim[Enrollments]
log = logs.get(__name__)


@dataclass(frozen=True)
class StepSlice:
    """One job of one account, until a time of the monotonic clock."""

    app: App[WorkflowRepos]
    account_id: ObjectId
    until: float

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until or self.app.stopping.is_set()


async def perform_due(slice: StepSlice, claim: EnrollmentClaim, *, is_orphan: bool = False) -> None:
    """Perform the enrolment's steps until it waits, ends, or the slice is over; then release it.

    Raises: Permanent when a step cannot be performed, other errors when it cannot be now; LeaseLost when the enrolment
    was paused or ended meanwhile.
    """
    if is_orphan:
        await _end(slice, claim, RunOver("cancelled", "the workflow does not exist any more"))
        return
    program = read_program((await _pinned(slice, claim))["steps"])
    while step := step_at(program, claim.document):
        run = StepRun(slice.app, slice.account_id, claim.document, step, slice.until, claim)
        result = await _perform(run)
        if not await _store(slice, claim, step, result):
            return
        if slice.is_over:
            await claim.release(attempts=0)
            return
    await _end(slice, claim, RunOver("completed"))


async def _perform(run: StepRun) -> StepResult:
    """Perform the step; what a limit keeps from it waits, and that is no attempt."""
    try:
        return await STEP_TYPES[run.step.type].perform(run, run.step.config)
    except RateLimited as error:
        return StepWaits(run.now + timedelta(seconds=error.retry_after))


async def _pinned(slice: StepSlice, claim: EnrollmentClaim) -> Mapping[str, Any]:
    """The enrolment with its copy of the steps; one that the CRM inserted gets it now, from the workflow."""
    one = claim.document
    if isinstance(one.get("steps"), list):
        return one
    workflow = await slice.app.repos.workflows.of_account(slice.account_id, one["workflow_id"])
    if workflow is None:
        raise Permanent(f"this account has no workflow {one['workflow_id']}", "missing_workflow")
    read_workflow(workflow)
    now = slice.app.clock.now()
    begins = {"enrolled_at": now, "arrived_at": now, "since": now, "step": one.get("step") or 0}
    await claim.change(steps=workflow.get("steps") or [], workflow_version=workflow.get("version"), **begins)
    return claim.document


async def _store(slice: StepSlice, claim: EnrollmentClaim, step: WorkflowStep, result: StepResult) -> bool:
    """Store how the step ended. Returns whether the next one can be performed now; if not, the claim is released."""
    match result:
        case StepPassed():
            await _pass(slice, claim, step, result)
            return True
        case StepWaits(until, deadline):
            # Waiting is no attempt.
            times = {"next_at": until} if until else {}
            await claim.release(attempts=0, crashes=0, **times, **({"deadline": deadline} if deadline else {}))
            return False
        case RunOver():
            await _end(slice, claim, result)
            return False


async def _pass(slice: StepSlice, claim: EnrollmentClaim, step: WorkflowStep, passed: StepPassed) -> None:
    one, now = claim.document, slice.app.clock.now()
    arrived = usable_date(one.get("arrived_at")) or now
    since = passed.since or (one.get("since") if step.type in ZERO_TIME else arrived)
    due = [*_events_due(one), *passed.events]
    values = {
        "step": step.otherwise if passed.otherwise else step.then,
        "arrived_at": now,
        "since": since,
        "seen": passed.seen if passed.seen is not None else one.get("seen"),
        "next_at": now,
        "attempts": 1,
        "crashes": 0,
        "log": [*one.get("log", ()), _entry(step, now, passed.did)],
        **({"events_due": due} if due else {}),
    }
    claim.keep(await claim.repo.change(claim.document, values, **FORGOTTEN))
    if due:
        await _publish(slice, claim)


def _events_due(enrollment: Mapping[str, Any]) -> list[Any]:
    due = enrollment.get("events_due")
    return due if isinstance(due, list) else []


async def _publish(slice: StepSlice, claim: EnrollmentClaim) -> None:
    await publish_due(slice.app, ENROLLMENTS, claim.document)
    claim.document = {name: value for name, value in claim.document.items() if name != "events_due"}
    await wake(slice.app, CONSUME, slice.account_id)


def _entry(step: WorkflowStep, now: datetime, did: str) -> dict[str, Any]:
    return {"path": step.path, "type": step.type, "at": now, "did": did}


async def _end(slice: StepSlice, claim: EnrollmentClaim, over: RunOver) -> None:
    ended = {"status": over.status, "ended_at": slice.app.clock.now(), "next_at": None, "reason": over.reason}
    values = {**ended, "attempts": 0, "crashes": 0}
    claim.keep(await claim.repo.release(claim.document, values, **FORGOTTEN))
    log.info("enrollment.ended", id=str(claim.document["_id"]), status=over.status)


async def give_up(slice: StepSlice, claim: EnrollmentClaim, failure: RunFailure) -> None:
    """End the run where it is: as cancelled when its contact is gone, else as failed, with a dead letter by which an
    operator lets it go on."""
    error = failure.error
    if isinstance(error, Permanent) and error.code == "contact_gone":
        await _end(slice, claim, RunOver("cancelled", failure.message))
        return
    await slice.app.shared.job_store.save_dead_letter(_letter(slice, claim.document, failure))
    await _end(slice, claim, RunOver("failed", failure.message))


def _letter(slice: StepSlice, enrollment: Mapping[str, Any], failure: RunFailure) -> DeadLetter:
    """The dead letter of a step, the same when it is written again."""
    now = slice.app.clock.now()
    errors = [*enrollment.get("errors", ()), {"attempt": failure.attempt, "at": now, "error": failure.message}]
    return DeadLetter(
        lane=RETRY_ENROLLMENT.lane.name,
        job_id=str(enrollment["_id"]),
        function=RETRY_ENROLLMENT.name,
        args=[str(enrollment["_id"])],
        kwargs={},
        error=failure.message,
        traceback=last_traceback_lines(failure.error),
        attempts=failure.attempt,
        first_failed_at=usable_date(enrollment.get("arrived_at")) or now,
        last_failed_at=now,
        errors=errors,
    )
