"""Explains one enrolment in a sequence: where it stands, what it waits for, what happens next, what was sent before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.explanation import Condition, Next, next_of
from pipeline_engine.domain.sequences.sequence import SequenceStep, is_resting, read_steps
from pipeline_engine.domain.sequences.work import Document, send_keys, step_number
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.logs import clean
from pipeline_engine.repos.sequence_repos import SequenceRepos

WHY_ENDED = {
    "completed": "all its mails were sent",
    "failed": "it failed; `dlq retry` of its dead letter lets it go on",
    "cancelled": "it was cancelled",
    "unsubscribed": "the contact must not be written to",
    "bounced": "the contact's address does not exist",
    "replied": "the contact replied",
}


@dataclass(frozen=True)
class SequenceEvent:
    """One thing that was recorded of the enrolment."""

    at: datetime
    source: str
    """enrolment, step or effect"""
    state: str
    detail: str = ""


@dataclass(frozen=True)
class SequenceExplanation:
    """`step`: the mail at which it stands, of how many; `mailbox`: through which mailbox the last one went out, None:
    through SMTP_URL."""

    enrollment: ObjectId
    sequence: Any
    contact: Any
    status: str
    step: str | None
    mailbox: Any
    conditions: Sequence[Condition]
    history: Sequence[SequenceEvent]
    next: Next


async def explain(app: App[SequenceRepos], enrollment_id: ObjectId) -> SequenceExplanation:
    """Raises: Permanent `not_found`."""
    one = await app.repos.sequence_enrollments.get(enrollment_id)
    if one is None or "sequence_id" not in one:
        raise Permanent(f"there is no enrolment {enrollment_id} in a sequence", "not_found")
    account_id = object_id(one.get("account_id"))
    found = await app.repos.sequences.of_account(account_id, [one["sequence_id"]]) if account_id else {}
    sequence = found.get(str(one["sequence_id"]))
    steps, fault = _steps(one, sequence)
    conditions = await _conditions(app, one, sequence, steps, fault)
    due = Next("runs", app.clock.now(), f"at the next look, within {app.settings.sequence_sweep_seconds:g} s")
    is_open = one.get("status") in ("active", "paused") and step_number(one) < len(steps)
    return SequenceExplanation(
        enrollment=enrollment_id,
        sequence=one["sequence_id"],
        contact=one.get("contact_id"),
        status=str(one.get("status")),
        step=_name(one, steps) if is_open else None,
        mailbox=one.get("email_account_id"),
        conditions=conditions,
        history=await _history(app, one, account_id, steps),
        next=next_of(conditions, due),
    )


def _steps(one: Document, sequence: Document | None) -> tuple[Sequence[SequenceStep], str | None]:
    """The steps by which it goes on, and what is wrong with them."""
    given = one["steps"] if isinstance(one.get("steps"), list) else (sequence or {}).get("steps")
    try:
        return read_steps(given or []), None
    except Permanent as error:
        return (), str(error)


def _name(one: Document, steps: Sequence[SequenceStep]) -> str:
    return f"mail {step_number(one) + 1} of {len(steps)}"


async def _conditions(
    app: App[SequenceRepos],
    one: Document,
    sequence: Document | None,
    steps: Sequence[SequenceStep],
    fault: str | None,
) -> list[Condition]:
    status, now = str(one.get("status")), app.clock.now()
    reason = f": {clean(str(one['reason']))}" if one.get("reason") else ""
    ended = Next("never", None, f"{WHY_ENDED.get(status, f'its status is {status}')}{reason}")
    under_way = Condition("the run has not ended", status, status in ("active", "paused"), ended)
    if not under_way.passed:
        return [under_way]
    rests = status == "paused" or (sequence is not None and is_resting(sequence))
    gone = Next("ends", now, "as its sequence does not exist any more")
    refused = Next("fails", now, f"as its steps are refused: {fault}")
    held = Next("waits", None, "for its sequence, which is not active, or paused")
    return [
        under_way,
        await _account(app, one),
        Condition("the sequence exists", one["sequence_id"], sequence is not None, gone),
        Condition("the sequence is active", "rests" if rests else "active", not rests, held),
        Condition("its steps can be read", fault or "yes", fault is None, refused),
        _due(one, steps, now),
        _no_attempt_failed(one),
        _free(one, now),
    ]


async def _account(app: App[SequenceRepos], one: Document) -> Condition:
    account_id = object_id(one.get("account_id"))
    is_active = account_id is not None and await app.shared.references.account_is_active(account_id)
    inactive = Next("waits", None, "for the account, which is not active")
    return Condition("account is active", "active" if is_active else "not active", is_active, inactive)


def _due(one: Document, steps: Sequence[SequenceStep], now: datetime) -> Condition:
    at = usable_date(one.get("next_at"))
    held = f": {clean(str(one['held']))}" if one.get("held") else ""
    return Condition(
        "it is due", at or "at once", at is None or at <= now, Next("runs", at, f"with {_name(one, steps)}{held}")
    )


def _no_attempt_failed(one: Document) -> Condition:
    if not one.get("error"):
        return Condition("no attempt failed", "none", True)
    why = f"attempt {one.get('attempts')} failed: {clean(str(one['error']))}"
    return Condition("no attempt failed", why, None, Next("retries", usable_date(one.get("next_at")), why))


def _free(one: Document, now: datetime) -> Condition:
    until, owner = usable_date(one.get("lease_until")), one.get("lease_owner")
    held = until is not None and until >= now
    then = Next("runs", now, f"in the run that has it ({owner}); should that vanish, another takes over at {until}")
    return Condition("no run has it", f"{owner}" if held else "no process", not held, then)


async def _history(
    app: App[SequenceRepos], one: Document, account_id: ObjectId | None, steps: Sequence[SequenceStep]
) -> list[SequenceEvent]:
    found: list[SequenceEvent] = []
    if at := usable_date(one.get("enrolled_at")):
        found.append(SequenceEvent(at, "enrolment", "begun", f"with {len(steps)} mails"))
    found += [
        SequenceEvent(entry["at"], "step", f"mail {int(entry['step']) + 1}", clean(str(entry.get("did", ""))))
        for entry in one.get("log", ())
    ]
    keys = [key for number in range(min(step_number(one) + 1, len(steps))) for key in send_keys(one, number)]
    records = await app.shared.effects.records(account_id, keys) if account_id and keys else {}
    for record in records.values():
        doubt = "may have gone out twice" if record.get("ambiguous") else ""
        found += [SequenceEvent(each["at"], "effect", each["state"], doubt) for each in record.get("history") or ()]
    if at := usable_date(one.get("ended_at")):
        found.append(SequenceEvent(at, "enrolment", str(one.get("status")), clean(str(one.get("reason") or ""))))
    return sorted(found, key=lambda event: event.at)
