"""The repos of sequences."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.business_profiles import BUSINESS_PROFILES, BusinessProfiles
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.contacts import CONTACTS, Contacts
from pipeline_engine.repos.lead_exits import ACTIVITIES
from pipeline_engine.repos.sender_mailboxes import SENDER_MAILBOXES, SenderMailboxes
from pipeline_engine.repos.sequence_enrollments import SEQUENCE_ENROLLMENTS, SequenceEnrollments
from pipeline_engine.repos.sequence_records import SequenceRecords
from pipeline_engine.repos.sequences import SEQUENCES, Sequences
from pipeline_engine.repos.store import Store

SEQUENCE_COLLECTIONS: tuple[CollectionSpec, ...] = (
    SEQUENCES,
    SEQUENCE_ENROLLMENTS,
    BUSINESS_PROFILES,
    CONTACTS,
    ACTIVITIES,
    SENDER_MAILBOXES,
)


@dataclass(frozen=True)
class SequenceRepos:
    """Sequences, the enrolments in them, who gets the mails and through which mailbox, and what is written of them."""

    sequences: Sequences
    sequence_enrollments: SequenceEnrollments
    business_profiles: BusinessProfiles
    contacts: Contacts
    sender_mailboxes: SenderMailboxes
    sequence_records: SequenceRecords

    @classmethod
    def open(cls, store: Store) -> SequenceRepos:
        return cls(
            sequences=Sequences(store),
            sequence_enrollments=SequenceEnrollments(store),
            business_profiles=BusinessProfiles(store),
            contacts=Contacts(store),
            sender_mailboxes=SenderMailboxes(store),
            sequence_records=SequenceRecords(store),
        )
