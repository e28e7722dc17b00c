"""The repos of scheduled CRM jobs."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.account_figures import AGENT_INSIGHTS, AccountFigures
from pipeline_engine.repos.business_profiles import BUSINESS_PROFILES, TEAM_MEMBERS, BusinessProfiles
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.contact_changes import ContactChanges
from pipeline_engine.repos.contact_enrichment import ContactEnrichment
from pipeline_engine.repos.contact_facts import FORM_SUBMISSIONS, ContactFacts
from pipeline_engine.repos.contact_intent import ContactIntent
from pipeline_engine.repos.contact_records import INTENT_SIGNALS
from pipeline_engine.repos.contacts import CONTACTS, Contacts
from pipeline_engine.repos.cron_slots import CRON_SLOTS, CronSlots
from pipeline_engine.repos.deal_alerts import DealAlerts
from pipeline_engine.repos.deals import DEALS
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.form_submissions import FormSubmissions
from pipeline_engine.repos.job_accounts import JobAccounts
from pipeline_engine.repos.lead_exits import ACTIVITIES, CALENDAR_EVENTS
from pipeline_engine.repos.lead_responses import TASKS
from pipeline_engine.repos.llm_usage import LLM_USAGE, LlmUsage
from pipeline_engine.repos.meetings import MEETINGS, Meetings
from pipeline_engine.repos.page_assets import FORMS
from pipeline_engine.repos.sales_records import NOTES, SalesRecords
from pipeline_engine.repos.sheet_syncs import SHEET_SYNCS, SheetSyncs
from pipeline_engine.repos.store import Store

LIFECYCLE_HISTORY = CollectionSpec("contact_lifecycle_history", indexes=(index("account_id", "contact_id"),))
LEAD_RECYCLING = CollectionSpec("lead_recycling", indexes=(index("account_id", "contact_id"),))

JOB_COLLECTIONS: tuple[CollectionSpec, ...] = (
    CRON_SLOTS,
    BUSINESS_PROFILES,
    TEAM_MEMBERS,
    CONTACTS,
    INTENT_SIGNALS,
    FORMS,
    FORM_SUBMISSIONS,
    SHEET_SYNCS,
    DEALS,
    TASKS,
    ACTIVITIES,
    CALENDAR_EVENTS,
    NOTES,
    MEETINGS,
    AGENT_INSIGHTS,
    LLM_USAGE,
    LIFECYCLE_HISTORY,
    LEAD_RECYCLING,
)
ORIGIN = ("account_id", "contact_id")
"""What says that a document under a derived id is the engine's own."""


@dataclass(frozen=True)
class JobRepos:
    """Slots, accounts, and what the jobs read and change."""

    cron_slots: CronSlots
    job_accounts: JobAccounts
    business_profiles: BusinessProfiles
    contacts: Contacts
    contact_enrichment: ContactEnrichment
    form_submissions: FormSubmissions
    sheet_syncs: SheetSyncs
    sales_records: SalesRecords
    meetings: Meetings
    deal_alerts: DealAlerts
    account_figures: AccountFigures
    llm_usage: LlmUsage
    contact_intent: ContactIntent
    contact_facts: ContactFacts
    lifecycle: ContactChanges
    lifecycle_history: DerivedDocuments
    recycling: ContactChanges
    lead_recycling: DerivedDocuments
    job_tasks: DerivedDocuments
    job_enrollments: DerivedDocuments

    @classmethod
    def open(cls, store: Store) -> JobRepos:
        return cls(
            cron_slots=CronSlots(store),
            job_accounts=JobAccounts(store),
            business_profiles=BusinessProfiles(store),
            contacts=Contacts(store),
            contact_enrichment=ContactEnrichment(store),
            form_submissions=FormSubmissions(store),
            sheet_syncs=SheetSyncs(store),
            sales_records=SalesRecords(store),
            meetings=Meetings(store),
            deal_alerts=DealAlerts(store),
            account_figures=AccountFigures(store),
            llm_usage=LlmUsage(store),
            contact_intent=ContactIntent(store),
            contact_facts=ContactFacts(store),
            lifecycle=ContactChanges(store, "lifecycle_due"),
            lifecycle_history=DerivedDocuments(store, LIFECYCLE_HISTORY.name, ORIGIN),
            recycling=ContactChanges(store, "recycling_due"),
            lead_recycling=DerivedDocuments(store, LEAD_RECYCLING.name, ORIGIN),
            job_tasks=DerivedDocuments(store, "tasks", ORIGIN),
            job_enrollments=DerivedDocuments(store, "workflow_enrollments", ORIGIN),
        )
