"""The repos of mailboxes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.email_accounts import EMAIL_ACCOUNTS, EmailAccounts
from pipeline_engine.repos.email_messages import EMAIL_MESSAGES, EmailMessages
from pipeline_engine.repos.email_parked import EMAIL_PARKED, EmailParked
from pipeline_engine.repos.store import Store

MAILBOX_COLLECTIONS: tuple[CollectionSpec, ...] = (EMAIL_ACCOUNTS, EMAIL_MESSAGES, EMAIL_PARKED)


@dataclass(frozen=True)
class MailboxRepos:
    """Mailboxes, their messages, and the messages that are left out."""

    email_accounts: EmailAccounts
    email_messages: EmailMessages
    email_parked: EmailParked

    @classmethod
    def open(cls, store: Store) -> MailboxRepos:
        return cls(
            email_accounts=EmailAccounts(store),
            email_messages=EmailMessages(store),
            email_parked=EmailParked(store),
        )
