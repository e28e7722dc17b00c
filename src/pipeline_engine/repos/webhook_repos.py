"""The repos of webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.webhook_deliveries import WEBHOOK_DELIVERIES, WebhookDeliveries
from pipeline_engine.repos.webhook_records import WebhookRecords
from pipeline_engine.repos.webhooks import WEBHOOKS, Webhooks

WEBHOOK_COLLECTIONS: tuple[CollectionSpec, ...] = (WEBHOOKS, WEBHOOK_DELIVERIES, CRM_EVENTS)
NOTICES = "ai_notifications"


@dataclass(frozen=True)
class WebhookRepos:
    """Endpoints, what they are to receive, and the notices about them."""

    webhooks: Webhooks
    webhook_deliveries: WebhookDeliveries
    webhook_records: WebhookRecords
    webhook_notices: DerivedDocuments

    @classmethod
    def open(cls, store: Store) -> WebhookRepos:
        return cls(
            webhooks=Webhooks(store),
            webhook_deliveries=WebhookDeliveries(store),
            webhook_records=WebhookRecords(store),
            webhook_notices=DerivedDocuments(store, NOTICES, ("webhook_id",)),
        )
