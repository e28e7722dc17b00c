"""The repos of scheduled CRM jobs."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.business_profiles import BUSINESS_PROFILES, TEAM_MEMBERS, BusinessProfiles
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.contact_records import INTENT_SIGNALS, ContactRecords
from pipeline_engine.repos.contacts import CONTACTS, Contacts
from pipeline_engine.repos.cron_slots import CRON_SLOTS, CronSlots
from pipeline_engine.repos.job_accounts import JobAccounts
from pipeline_engine.repos.store import Store

JOB_COLLECTIONS: tuple[CollectionSpec, ...] = (CRON_SLOTS, BUSINESS_PROFILES, TEAM_MEMBERS, CONTACTS, INTENT_SIGNALS)


@dataclass(frozen=True)
class JobRepos:
    """Slots, accounts, and what the jobs read and change."""

    cron_slots: CronSlots
    job_accounts: JobAccounts
    business_profiles: BusinessProfiles
    contacts: Contacts
    contact_records: ContactRecords

    @classmethod
    def open(cls, store: Store) -> JobRepos:
        return cls(
            cron_slots=CronSlots(store),
            job_accounts=JobAccounts(store),
            business_profiles=BusinessProfiles(store),
            contacts=Contacts(store),
            contact_records=ContactRecords(store),
        )
