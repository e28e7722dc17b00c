"""The repos of workflows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.enrollments import ENROLLMENTS, Enrollments
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.webhook_deliveries import WEBHOOK_DELIVERIES, WebhookDeliveries
from pipeline_engine.repos.workflow_records import WorkflowRecords
from pipeline_engine.repos.workflows import WORKFLOWS, Workflows

WORKFLOW_COLLECTIONS: tuple[CollectionSpec, ...] = (WORKFLOWS, ENROLLMENTS, CRM_EVENTS, WEBHOOK_DELIVERIES)
ORIGIN = ("enrollment_id",)
"""What says that a task or notification is the engine's own: the enrolment that it was written for."""


@dataclass(frozen=True)
class WorkflowRepos:
    """Workflows, the enrolments in them, and the records that their steps read, change and write."""

    workflows: Workflows
    enrollments: Enrollments
    workflow_records: WorkflowRecords
    webhook_deliveries: WebhookDeliveries
    written_by_workflows: Callable[[str], DerivedDocuments]

    @classmethod
    def open(cls, store: Store) -> WorkflowRepos:
        return cls(
            workflows=Workflows(store),
            enrollments=Enrollments(store),
            workflow_records=WorkflowRecords(store),
            webhook_deliveries=WebhookDeliveries(store),
            written_by_workflows=lambda collection: DerivedDocuments(store, collection, ORIGIN),
        )
