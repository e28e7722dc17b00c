"""What is written of a mail that has gone out: a row of the contact's timeline and, where a mailbox sent it, the mail
itself among the mailbox's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.sequences.work import SendSlice, Sent, SequenceEntry, send_keys
from pipeline_engine.ids import derived_id
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.email_messages import message_row_id

ACTIVITY = "sequence_email"


async def write_records(
    slice: SendSlice, sent: Sequence[tuple[SequenceEntry, Sent]], mails: Mapping[Any, Mail], now: datetime
) -> None:
    """Insert the rows that are missing; a repeat after a crash derives the same ids."""
    records = slice.app.repos.sequence_records
    known = {entry.id: one.message_id for entry, one in sent if one.message_id}
    others = [entry for entry, _ in sent if entry.id not in known]
    ids = known | (await _message_ids(slice, others) if others else {})
    await records.add_activities([_activity(slice, entry, one, ids[entry.id], now) for entry, one in sent])
    by_mailbox = [(entry, one) for entry, one in sent if one.mailbox is not None and entry.id in mails]
    if by_mailbox:
        rows = [_message(slice, entry, one, mails[entry.id], ids[entry.id], now) for entry, one in by_mailbox]
        await records.add_messages(rows)


async def _message_ids(slice: SendSlice, entries: Sequence[SequenceEntry]) -> dict[Any, str]:
    """{id of an enrolment: the Message-ID of the mail of its current step}"""
    keys = {entry.id: send_keys(entry.document, entry.step.number) for entry in entries}
    records = await slice.app.shared.effects.records(slice.account_id, [key for some in keys.values() for key in some])
    sent = {key: str(record.get("provider_id") or "") for key, record in records.items() if record["state"] == "sent"}
    return {id: next((sent[key] for key in some if key in sent), "") for id, some in keys.items()}


def activity_id(account_id: ObjectId, enrollment_id: Any, step: int) -> ObjectId:
    """The id of the timeline's row of one mail."""
    return derived_id("activity", account_id, enrollment_id, step)


def _activity(slice: SendSlice, entry: SequenceEntry, sent: Sent, message_id: str, now: datetime) -> Document:
    one = entry.document
    data = {"sequence_id": one.get("sequence_id"), "step": entry.step.number, "template_id": entry.step.template_id}
    mail = {"message_id": message_id, "subject": sent.subject, "email_account_id": sent.mailbox}
    return {
        "_id": activity_id(slice.account_id, entry.id, entry.step.number),
        "account_id": slice.account_id,
        "contact_id": entry.contact["_id"],
        "enrollment_id": entry.id,
        "type": ACTIVITY,
        "occurred_at": now,
        "data": {**data, "enrollment_id": entry.id, **mail},
        "createdAt": now,
        "updatedAt": now,
    }


def _message(
    slice: SendSlice, entry: SequenceEntry, sent: Sent, mail: Mail, message_id: str, now: datetime
) -> Document:
    thread = [*mail.references, message_id]
    return {
        "_id": message_row_id(sent.mailbox, message_id),
        "account_id": slice.account_id,
        "email_account_id": sent.mailbox,
        "message_id": message_id,
        "thread_id": thread[0],
        "in_reply_to": mail.in_reply_to or None,
        "references": list(mail.references),
        "from": mail.reply_to,
        "to": [mail.to],
        "subject": mail.subject,
        "text": mail.text or mail.html or "",
        "date": now,
        "direction": "out",
        "kind": "message",
        "contact_id": entry.contact["_id"],
        "enrollment_id": entry.id,
        "createdAt": now,
        "updatedAt": now,
    }
