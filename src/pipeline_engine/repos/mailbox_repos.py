"""The repos of mailboxes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.email_accounts import EMAIL_ACCOUNTS, EmailAccounts
from pipeline_engine.repos.email_messages import EMAIL_MESSAGES, EmailMessages
from pipeline_engine.repos.email_parked import EMAIL_PARKED, EmailParked
from pipeline_engine.repos.mail_records import FOLLOW_COLLECTIONS, MailRecords
from pipeline_engine.repos.store import Store

MAILBOX_COLLECTIONS: tuple[CollectionSpec, ...] = (EMAIL_ACCOUNTS, EMAIL_MESSAGES, EMAIL_PARKED, *FOLLOW_COLLECTIONS)


@dataclass(frozen=True)
class MailboxRepos:
    """Mailboxes, their messages, those that are left out, and what follows from messages."""

    email_accounts: EmailAccounts
    email_messages: EmailMessages
    email_parked: EmailParked
    mail_records: MailRecords

    @classmethod
    def open(cls, store: Store) -> MailboxRepos:
        return cls(
            email_accounts=EmailAccounts(store),
            email_messages=EmailMessages(store),
            email_parked=EmailParked(store),
            mail_records=MailRecords(store),
        )
