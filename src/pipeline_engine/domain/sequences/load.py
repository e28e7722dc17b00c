"""Reads what a batch of claimed enrolments needs, pins steps, and ends those enrolments that cannot go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.batch_faults import crashed_too_often
from pipeline_engine.domain.sequences.sequence import SequenceStep, read_steps
from pipeline_engine.domain.sequences.settle import settle
from pipeline_engine.domain.sequences.work import Document, Later, Over, Result, SendSlice, SequenceEntry, step_number
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id

NO_STEP = (SequenceStep(0, None),)  # type: ignore[arg-type]
"""The steps of an enrolment whose own cannot be read."""


async def load(slice: SendSlice, claimed: Sequence[Document]) -> list[SequenceEntry]:
    """The enrolments that stand at a mail which is due, with their contacts. The others are ended or put off."""
    repos, now = slice.app.repos, slice.app.clock.now()
    sequences = await repos.sequences.of_account(slice.account_id, [one["sequence_id"] for one in claimed])
    ids = [id for one in claimed if (id := object_id(one.get("contact_id")))]
    contacts = await repos.contacts.find(slice.account_id, ids)
    pinned = await _pin(slice, claimed, sequences, now)
    entries: list[SequenceEntry] = []
    others: list[tuple[SequenceEntry, Result]] = []
    for one in pinned:
        id = object_id(one.get("contact_id"))
        entry, other = _read(slice, one, sequences, contacts.get(id) if id else None, now)
        if other:
            others.append((entry, other))
        else:
            entries.append(entry)
    await settle(slice, others, {})
    return entries


def _read(
    slice: SendSlice, one: Document, sequences: Mapping[str, Document], contact: Document | None, now: datetime
) -> tuple[SequenceEntry, Result | None]:
    """The entry, and how it ends or is put off; None: its mail is due."""
    person = contact or {"_id": one.get("contact_id")}
    try:
        steps = read_steps(one.get("steps") or [])
    except Permanent as error:
        return SequenceEntry(one, NO_STEP, person), Over("failed", str(error))
    entry = SequenceEntry(one, steps, person)
    if str(one["sequence_id"]) not in sequences:
        return entry, Over("cancelled", "the sequence does not exist any more")
    if contact is None:
        return entry, Over("cancelled", "the contact does not exist any more")
    if reason := crashed_too_often(one):
        return entry, Over("failed", reason)
    if step_number(one) >= len(steps):
        return entry, Over("completed")
    return entry, _not_yet(slice, entry, now)


def _not_yet(slice: SendSlice, entry: SequenceEntry, now: datetime) -> Later | None:
    """When the mail is due of an enrolment that the CRM inserted without a time: the delay counts from then."""
    if usable_date(entry.document.get("next_at")):
        return None
    since = usable_date(entry.document.get("sent_at")) or usable_date(entry.document.get("enrolled_at")) or now
    at = entry.step.due_at(since, slice.zone, slice.is_holiday)
    return Later(at) if at > now else None


async def _pin(
    slice: SendSlice, claimed: Sequence[Document], sequences: Mapping[str, Document], now: datetime
) -> list[dict[str, Any]]:
    """The enrolments, each with its copy of the steps; those that the CRM inserted get it now, from the sequence."""
    unpinned: dict[tuple[str, Any], list[Document]] = defaultdict(list)
    for one in claimed:
        if not isinstance(one.get("steps"), list) and str(one["sequence_id"]) in sequences:
            unpinned[str(one["sequence_id"]), one["claim_id"]].append(one)
    values: dict[Any, dict[str, Any]] = {}
    for (sequence_id, claim_id), some in unpinned.items():
        copy = {"steps": sequences[sequence_id].get("steps") or [], "enrolled_at": now}
        ids = [one["_id"] for one in some]
        await slice.app.repos.sequence_enrollments.pin(slice.account_id, claim_id, ids, copy)
        values |= dict.fromkeys(ids, copy)
    return [{**one, **values.get(one["_id"], {})} for one in claimed]
