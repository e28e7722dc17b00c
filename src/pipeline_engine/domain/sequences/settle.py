"""Stores how steps ended: first what follows from a mail, under ids that a repeat derives again, then the enrolment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline_engine import logs
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.domain.messages.suppress import suppress
from pipeline_engine.domain.sequences.jobs import RETRY
from pipeline_engine.domain.sequences.records import write_records
from pipeline_engine.domain.sequences.work import Later, Over, Result, Results, SendSlice, Sent, SequenceEntry
from pipeline_engine.lanes import DeadLetter
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.repos.sequence_enrollments import Settle

Values = tuple[tuple[str, Any], ...]
HARD_BOUNCE = "hard_bounce"
"""The reason of a suppression."""

log = logs.get(__name__)


async def settle(slice: SendSlice, results: Results, mails: Mapping[Any, Mail]) -> None:
    """Store the results and release the enrolments, those that end alike by one write."""
    now = slice.app.clock.now()
    sent = [(entry, one) for entry, one in results if isinstance(one, Sent)]
    if sent:
        await write_records(slice, sent, mails, now)
    for entry, result in results:
        await _prepare_end(slice, entry, result, now)
    writes: dict[tuple[Any, Values, str], list[SequenceEntry]] = defaultdict(list)
    for entry, result in results:
        values, did = _values(slice, entry, result, now)
        writes[entry.document["claim_id"], tuple(values.items()), did].append(entry)
    if writes:
        settled = [_settle(*key, entries, now) for key, entries in writes.items()]
        await slice.app.repos.sequence_enrollments.settle(slice.account_id, settled)
    _log_ends(slice, results)


def _settle(claim_id: Any, stored: Values, did: str, entries: Sequence[SequenceEntry], now: datetime) -> Settle:
    log_entry = {"step": entries[0].step.number, "at": now, "did": did} if did else None
    return Settle(claim_id, [entry.id for entry in entries], dict(stored), log_entry)


def _values(slice: SendSlice, entry: SequenceEntry, result: Result, now: datetime) -> tuple[dict[str, Any], str]:
    """The fields to set, and what the log says."""
    match result:
        case Later(at, error, attempts, held):
            failure = {"error": error, "attempts": attempts} if error else {}
            return {**({"next_at": at} if at else {}), **failure, **({"held": held} if held else {})}, ""
        case Over(status, reason):
            return {"status": status, "reason": reason, "ended_at": now, "next_at": None, "attempts": 0}, ""
        case Sent():
            return _after_sent(slice, entry, result, now), "sent"


def _after_sent(slice: SendSlice, entry: SequenceEntry, sent: Sent, now: datetime) -> dict[str, Any]:
    number = entry.step.number + 1
    values: dict[str, Any] = {"step": number, "sent_at": now, "attempts": 0}
    if sent.mailbox is not None:
        values |= {"email_account_id": sent.mailbox}
    if number >= len(entry.steps):
        return {**values, "status": "completed", "reason": "", "ended_at": now, "next_at": None}
    return {**values, "next_at": entry.steps[number].due_at(now, slice.zone, slice.is_holiday)}


async def _prepare_end(slice: SendSlice, entry: SequenceEntry, result: Result, now: datetime) -> None:
    """What must be there before the enrolment says that it is over."""
    if not isinstance(result, Over):
        return
    if result.status == "failed":
        await slice.app.shared.job_store.save_dead_letter(_letter(entry, result, now))
    if result.status == "bounced":
        address = str(entry.contact.get("email") or "").strip()
        await suppress(slice.app, slice.account_id, "email", address, HARD_BOUNCE)
        data = {"contact_id": str(entry.contact["_id"]), "bounce_type": "hard", "source": "smtp"}
        await EventPublisher(slice.app).publish("email.bounced", data, slice.account_id, id=f"bounced:{entry.key}")


def _letter(entry: SequenceEntry, over: Over, now: datetime) -> DeadLetter:
    """The dead letter of a step, the same when it is written again, and another one after a retry by hand."""
    one = entry.document
    since = (usable_date(one.get(name)) for name in ("retried_at", "sent_at", "enrolled_at"))
    return DeadLetter(
        lane=RETRY.lane.name,
        job_id=str(entry.id),
        function=RETRY.name,
        args=[str(entry.id)],
        kwargs={},
        error=over.reason,
        traceback="",
        attempts=int(one.get("attempts") or 0) + 1,
        first_failed_at=next(filter(None, since), now),
        last_failed_at=now,
        errors=[{"attempt": int(one.get("attempts") or 0) + 1, "at": now, "error": over.reason}],
    )


def _log_ends(slice: SendSlice, results: Results) -> None:
    for entry, result in results:
        if isinstance(result, Over):
            ids = {"id": str(entry.id), "account_id": str(slice.account_id)}
            log.info("sequence_enrollment.ended", **ids, status=result.status)
