"""Links mails to contacts that got their address after the mail had come."""

from __future__ import annotations

import time
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.mailboxes.stored_mail import MAX_SUBJECT_CHARS, ORIGIN
from pipeline_engine.domain.messages.addresses import spellings_of
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.mail_records import MailRecords

PAGE = 500
SECONDS = 1.0
"""For one look; the next goes on where it ended."""


async def link_late_contacts(app: App[Any], account_id: ObjectId) -> int:
    """Write the timeline of contacts whose mails came before their address did. Returns how many mails that were.

    No event is published: what happened then is history. A call looks for one second, at all addresses in turn.
    """
    records = MailRecords(app.store)
    until, linked = time.monotonic() + SECONDS, 0
    after = await records.link_mark(account_id)
    while page := await records.unlinked_addresses(account_id, after, PAGE):
        linked += await _link(app, records, account_id, page)
        after = page[-1] if len(page) == PAGE else ""
        if not after or time.monotonic() >= until:
            break
    await records.set_link_mark(account_id, after if page else "")
    return linked


async def _link(app: App[Any], records: MailRecords, account_id: ObjectId, addresses: list[str]) -> int:
    known = [form for address in addresses for form in spellings_of("email", address)]
    found = await app.shared.people.contacts(account_id, "email", known)
    contacts = {str(one.get("email")).lower(): one["_id"] for one in reversed(found)}
    linked = 0
    for address in addresses:
        while contact := contacts.get(address):
            messages = await records.unlinked_from(account_id, address, PAGE)
            rows = [_activity(app, account_id, contact, one) for one in messages]
            await DerivedDocuments(app.store, "activities", ORIGIN).insert(rows)
            for one in messages:
                await records.link(account_id, one["_id"], {"contact_id": contact})
            linked += len(messages)
            if len(messages) < PAGE:
                break
    return linked


def _activity(app: App[Any], account_id: ObjectId, contact: Any, message: Document) -> Document:
    event_id = f"late:{message['_id']}"
    now = app.clock.now()
    subject = str(message.get("subject") or "")[:MAX_SUBJECT_CHARS]
    data = {"subject": subject, "message_id": message.get("message_id"), "email_message_id": message["_id"]}
    own = {"_id": derived_id("activity", account_id, event_id), "account_id": account_id, "event_id": event_id}
    what = {"type": "email", "contact_id": contact, "data": {**data, "direction": "in"}, "createdAt": now}
    came = usable_date(message.get("received_at")) or usable_date(message.get("date"))
    return {**own, **what, "occurred_at": came or now}
