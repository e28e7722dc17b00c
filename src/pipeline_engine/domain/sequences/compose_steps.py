"""Composes the mail at which each enrolment stands: its template, its thread, and where answers go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.domain.messages.merge_fields import MergeRecords
from pipeline_engine.domain.sequences.records import activity_id
from pipeline_engine.domain.sequences.work import Document, SendSlice, SequenceEntry, send_keys
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered

MAX_THREAD = 100

Threads = Mapping[Any, Sequence[str]]
"""{id of an enrolment: the Message-IDs of its mails so far, the oldest first}"""


async def compose_steps(
    slice: SendSlice, template_id: ObjectId, entries: Sequence[SequenceEntry], chosen: Mapping[Any, Document]
) -> list[Mail | NotRendered]:
    """For each of the entries, all of one sequence, in their order, its mail, or why there is none.

    Raises: Permanent when the template does not exist; Transient when nothing could be composed now.
    """
    template = await email_template(slice.app, slice.account_id, template_id)
    records: list[MergeRecords] = [{"contact": entry.contact} for entry in entries]
    source = f"sequence:{entries[0].document['sequence_id']}"
    composed = await compose_emails(slice.app, slice.account_id, template, records, source)
    threads = await _threads(slice, entries)
    answered = await _answered(slice, entries) if not template.get("subject") else {}
    return [
        _in_thread(mail, threads.get(entry.id, ()), answered.get(entry.id, ""), chosen.get(entry.id))
        if isinstance(mail, Mail)
        else mail
        for entry, mail in zip(entries, composed, strict=True)
    ]


def _in_thread(mail: Mail, thread: Sequence[str], answered: str, mailbox: Document | None) -> Mail:
    """The mail as a follow-up of those before. `answered`: the subject that it takes where it has none of its own."""
    return replace(
        mail,
        subject=mail.subject or answered,
        reply_to=_reply_to(mailbox),
        in_reply_to=thread[-1] if thread else "",
        references=tuple(thread),
    )


async def _answered(slice: SendSlice, entries: Sequence[SequenceEntry]) -> dict[Any, str]:
    """{id of an enrolment: the subject of its first mail, as that of an answer}"""
    rows = {activity_id(slice.account_id, entry.id, 0): entry.id for entry in entries if entry.step.number}
    subjects = await slice.app.repos.sequence_records.subjects(slice.account_id, list(rows))
    return {rows[row]: f"Re: {subject.removeprefix('Re: ')}" for row, subject in subjects.items() if subject}


def _reply_to(mailbox: Document | None) -> str:
    """The mailbox's address; empty where it has none that can be written."""
    try:
        return read_email_address(mailbox.get("username")) if mailbox else ""
    except Permanent:
        return ""


async def _threads(slice: SendSlice, entries: Sequence[SequenceEntry]) -> Threads:
    """As far as the records of what was sent go back."""
    keys = {
        entry.id: [
            send_keys(entry.document, number)
            for number in range(max(0, entry.step.number - MAX_THREAD), entry.step.number)
        ]
        for entry in entries
        if entry.step.number
    }
    wanted = [key for steps in keys.values() for step in steps for key in step]
    records = await slice.app.shared.effects.records(slice.account_id, wanted) if wanted else {}
    sent = {
        key: str(record["provider_id"])
        for key, record in records.items()
        if record["state"] == "sent" and record.get("provider_id")
    }
    return {id: [sent[key] for step in steps for key in step if key in sent] for id, steps in keys.items()}
