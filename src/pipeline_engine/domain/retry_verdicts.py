"""What became of jobs whose dead letters were retried.

The jobs `event.retry`, `workflow.retry` and `sequence.retry` only make their unit due again: what counts is what the
unit does then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.dead_letters import Letter
from pipeline_engine.domain.events.jobs import RETRY, RETRY_ENROLLMENT
from pipeline_engine.domain.sequences.jobs import RETRY as RETRY_MAIL
from pipeline_engine.ids import object_id
from pipeline_engine.repos.enrollments import Enrollments

CLOCK_SKEW = timedelta(seconds=5)
"""History has the time of the daemon that ran the attempt."""
OF_ENROLLMENTS = frozenset({RETRY_ENROLLMENT.name, RETRY_MAIL.name})
ENROLLMENT_FIELDS = ("status", "error", "log", "deadline", "lease_owner")

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Verdicts:
    """What became of retried jobs so far. The others wait or run."""

    succeeded: set[ObjectId]
    failed: set[ObjectId]

    @property
    def decided(self) -> int:
        return len(self.succeeded) + len(self.failed)


async def judge(app: App, letters: Sequence[Letter], since: datetime) -> Verdicts:
    """What became of the jobs of retried letters. A job whose first attempt failed has failed again, though its lane
    may try it once more: the cause is still there. A retried event counts when it was consumed, a retried enrolment
    when it is behind the step at which it failed, or waits there."""
    attempts = await app.shared.job_store.attempts_since(letters, since - CLOCK_SKEW)
    failed = {id for id, outcomes in attempts.items() if "retried" in outcomes}
    failed |= await app.shared.job_store.died_again(letters, since)
    done = {id for id, outcomes in attempts.items() if "done" in outcomes} - failed
    states = await _events(app, letters) | await _enrollments(app, letters)
    failed |= {id for id in done if states.get(id) == "failed"}
    return Verdicts({id for id in done - failed if states.get(id) != "waiting"}, failed)


async def _events(app: App, letters: Sequence[Letter]) -> dict[ObjectId, str]:
    """{letter: failed|waiting|ended} of the letters of events that exist."""
    ids = {letter["job_id"]: letter["_id"] for letter in letters if letter["function"] == RETRY.name}
    states = await app.shared.crm_events.states(list(ids)) if ids else {}
    return {ids[id]: _event_state(event) for id, event in states.items()}


def _event_state(event: Document) -> str:
    if event["status"] == "dead":
        return "failed"
    if event["status"] != "new":
        return "ended"
    return "waiting" if event.get("failing_key") is None else "failed"


async def _enrollments(app: App, letters: Sequence[Letter]) -> dict[ObjectId, str]:
    """{letter: failed|waiting|ended} of the letters of enrolments that exist, in workflows and in sequences."""
    of_steps = [letter for letter in letters if letter["function"] in OF_ENROLLMENTS]
    ids = {letter["_id"]: id for letter in of_steps if (id := object_id(letter["job_id"]))}
    found = await app.with_repos(Enrollments).repos.states(list(ids.values()), *ENROLLMENT_FIELDS) if ids else {}
    known = {letter["_id"]: letter["last_failed_at"] for letter in of_steps}
    return {letter: _enrollment_state(found[id], known[letter]) for letter, id in ids.items() if id in found}


def _enrollment_state(enrollment: Document, failed_at: datetime) -> str:
    status = enrollment.get("status")
    if status == "failed" or enrollment.get("error"):
        return "failed"
    if status not in ("active", "paused") or _has_passed_since(enrollment, failed_at):
        return "ended"
    # A wait that is stored and that no run holds: the step stands as it should.
    return "ended" if enrollment.get("deadline") and not enrollment.get("lease_owner") else "waiting"


def _has_passed_since(enrollment: Document, moment: datetime) -> bool:
    """Whether a step was passed after that time."""
    entries = [entry for entry in enrollment.get("log", ()) if isinstance(entry, Mapping)]
    return any((at := usable_date(entry.get("at"))) is not None and at > moment for entry in entries)
