"""A mail that is stored, with the mailbox that it lies in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mailboxes.address_book import AddressBook
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.mail_records import MailRecords

HISTORY = timedelta(days=1)
"""Mails that came so long before the mailbox was connected are history: they show on timelines, and set off nothing."""
SERVER_PRECISION = timedelta(seconds=1)
"""A mail server gives times in whole seconds: an answer within the second in which its lead is waited for is none
from before."""
ORIGIN = ("account_id", "event_id")
"""What says that a row of `activities` is the engine's own."""
MAX_SUBJECT_CHARS = 300


@dataclass(frozen=True)
class StoredMail:
    """What `follow` works on."""

    app: App[Any]
    account_id: ObjectId
    mailbox: Document
    stored: Document
    mail: ParsedMail
    people: AddressBook
    links: Document = field(default_factory=dict)
    """What is found to be stored in the message's row: {contact_id, lead_id, deal_id}, or `unlinked`, the address by
    which it may be linked later."""

    @property
    def records(self) -> MailRecords:
        return MailRecords(self.app.store)

    @property
    def is_own(self) -> bool:
        """Whether the mailbox's user wrote it."""
        username = str(self.mailbox.get("username") or "").lower()
        return self.stored.get("direction") == "out" or bool(username and self.mail.from_.address == username)

    @property
    def occurred_at(self) -> datetime:
        """The end of the second in which the mail server took the mail in, as its sender may have any clock; of a mail
        that the user wrote, its own date. Never later than now."""
        now = self.app.clock.now()
        arrived = None if self.is_own else usable_date(self.stored.get("received_at"))
        at = arrived + SERVER_PRECISION if arrived else usable_date(self.stored.get("date")) or self.mail.date
        return min(at or now, now)

    @property
    def is_history(self) -> bool:
        """Whether the mail came before the mailbox was connected."""
        id = self.mailbox["_id"]
        made = id.generation_time if isinstance(id, ObjectId) else None
        connected = usable_date(self.mailbox.get("createdAt")) or made
        return connected is not None and self.occurred_at < connected - HISTORY

    def event_id(self, type: str, of: str = "") -> str:
        """The id of an event that follows from the mail; `of` tells several of one type apart."""
        return ":".join(filter(None, (type, str(self.stored["_id"]), of)))

    async def publish(self, type: str, id: str, data: Document) -> None:
        """Publish an event about the mail, unless one of this id exists."""
        about = {
            "message_id": self.mail.message_id,
            "email_message_id": self.stored["_id"],
            "from": self.mail.from_.address,
        }
        about |= {"subject": self.mail.subject[:MAX_SUBJECT_CHARS], "email_account_id": self.mailbox["_id"]}
        texts = {name: str(value) if isinstance(value, ObjectId) else value for name, value in (about | data).items()}
        publisher = EventPublisher(self.app)
        user_id, at = self.mailbox.get("user_id"), self.occurred_at
        await publisher.publish(type, texts, self.account_id, user_id=user_id, id=id, occurred_at=at)

    async def add_activities(self, event_id: str, about: list[Document]) -> None:
        """Write a row of the timeline for each of these records: {contact_id, lead_id, deal_id}.

        The first has the `_id` under which the consumers of CRM events would write the same row.
        """
        rows = [self._activity(event_id, records, n) for n, records in enumerate(about)]
        await DerivedDocuments(self.app.store, "activities", ORIGIN).insert(rows)

    def _activity(self, event_id: str, records: Document, number: int) -> Document:
        more = [str(records.get("contact_id"))] if number else []
        id = derived_id("activity", self.account_id, event_id, *more)
        mail = {
            "subject": self.mail.subject[:MAX_SUBJECT_CHARS],
            "from": self.mail.from_.address,
            "kind": self.mail.kind,
        }
        ids = {"message_id": self.mail.message_id, "email_message_id": self.stored["_id"]}
        data = {**mail, **ids, "direction": "out" if self.is_own else "in"}
        own = {"_id": id, "account_id": self.account_id, "event_id": event_id, "type": "email", "data": data}
        when = {"occurred_at": self.occurred_at, "createdAt": self.app.clock.now()}
        return {**own, **records, **when, "user_id": self.mailbox.get("user_id")}
