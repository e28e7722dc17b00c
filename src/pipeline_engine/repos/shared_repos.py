"""Repos that several systems use."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.accounts import ACCOUNTS, USERS, Accounts, References, Users
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.crm_events import CRM_EVENTS, CrmEvents
from pipeline_engine.repos.effects import EFFECTS, Effects
from pipeline_engine.repos.events import OUTBOX, Events
from pipeline_engine.repos.integration_credentials import INTEGRATION_CREDENTIALS, IntegrationCredentials
from pipeline_engine.repos.job_store import DEAD_LETTERS, JOB_HISTORY, MongoJobStore
from pipeline_engine.repos.messages import SUPPRESSIONS, Suppressions, Templates
from pipeline_engine.repos.notifications import AI_NOTIFICATIONS, Notifications
from pipeline_engine.repos.paused_lanes import PausedLanes
from pipeline_engine.repos.people import People
from pipeline_engine.repos.quarantine import QUARANTINE, Quarantine
from pipeline_engine.repos.store import Store

SHARED_COLLECTIONS: tuple[CollectionSpec, ...] = (
    ACCOUNTS,
    USERS,
    SUPPRESSIONS,
    EFFECTS,
    CRM_EVENTS,
    OUTBOX,
    JOB_HISTORY,
    DEAD_LETTERS,
    QUARANTINE,
    INTEGRATION_CREDENTIALS,
    AI_NOTIFICATIONS,
)


@dataclass(frozen=True)
class SharedRepos:
    """Accounts, users, templates and suppressions; records of what was sent, published and dispatched; credentials,
    notifications; the lanes that are paused."""

    accounts: Accounts
    users: Users
    templates: Templates
    suppressions: Suppressions
    people: People
    references: References
    effects: Effects
    events: Events
    crm_events: CrmEvents
    job_store: MongoJobStore
    quarantine: Quarantine
    integration_credentials: IntegrationCredentials
    notifications: Notifications
    paused_lanes: PausedLanes

    @classmethod
    def open(cls, store: Store) -> SharedRepos:
        return cls(
            accounts=Accounts(store),
            users=Users(store),
            templates=Templates(store),
            suppressions=Suppressions(store),
            people=People(store),
            references=References(store),
            effects=Effects(store),
            events=Events(store),
            crm_events=CrmEvents(store),
            job_store=MongoJobStore(store.database, store.clock),
            quarantine=Quarantine(store),
            integration_credentials=IntegrationCredentials(store),
            notifications=Notifications(store),
            paused_lanes=PausedLanes(store),
        )
