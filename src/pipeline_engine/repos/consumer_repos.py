"""The repos of the consumers of CRM events."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.business_profiles import BUSINESS_PROFILES, TEAM_MEMBERS, BusinessProfiles
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.contact_records import INTENT_SIGNALS, ContactRecords
from pipeline_engine.repos.contacts import CONTACTS, Contacts
from pipeline_engine.repos.crm_events import CRM_EVENTS, CrmEvents
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.event_lines import EVENT_LINES, EventLines
from pipeline_engine.repos.event_takers import EventTakers
from pipeline_engine.repos.past_events import PastEvents
from pipeline_engine.repos.store import Store

CONSUMER_COLLECTIONS: tuple[CollectionSpec, ...] = (
    CRM_EVENTS,
    EVENT_LINES,
    CONTACTS,
    BUSINESS_PROFILES,
    TEAM_MEMBERS,
    INTENT_SIGNALS,
)


@dataclass(frozen=True)
class ConsumerRepos:
    """The account's line of events, and what consumers read and change."""

    crm_events: CrmEvents
    event_lines: EventLines
    event_takers: EventTakers
    contacts: Contacts
    business_profiles: BusinessProfiles
    contact_records: ContactRecords
    activities: DerivedDocuments
    past_events: PastEvents

    @classmethod
    def open(cls, store: Store) -> ConsumerRepos:
        return cls(
            crm_events=CrmEvents(store),
            event_lines=EventLines(store),
            event_takers=EventTakers(store),
            contacts=Contacts(store),
            business_profiles=BusinessProfiles(store),
            contact_records=ContactRecords(store),
            activities=DerivedDocuments(store, "activities", ("account_id", "event_id")),
            past_events=PastEvents(store),
        )
