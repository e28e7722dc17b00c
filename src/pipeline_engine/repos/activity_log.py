"""The activity log: who did what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, index
from pipeline_engine.repos.crm_events import CRM_EVENTS, CrmEvents
from pipeline_engine.repos.store import Store

ACTIVITY_LOG = CollectionSpec(
    "activity_log", indexes=(index("account_id", "at"), index("account_id", "subject.id", "at"), EXPIRY_INDEX)
)
ACTIVITY_COLLECTIONS: tuple[CollectionSpec, ...] = (ACTIVITY_LOG, CRM_EVENTS)


class ActivityLog:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(ACTIVITY_LOG)

    async def add(self, rows: Sequence[Document]) -> None:
        """Insert the rows that are missing."""
        await self._own.insert_missing(rows)

    async def of_event(self, account_id: ObjectId, event_id: object) -> Document | None:
        """The row that was written because of the event."""
        return await self._own.find_one({"account_id": either(account_id), "event_id": {"$eq": event_id}})


@dataclass(frozen=True)
class ActivityRepos:
    """Consumed events, and the log that is written from them."""

    crm_events: CrmEvents
    activity_log: ActivityLog

    @classmethod
    def open(cls, store: Store) -> ActivityRepos:
        return cls(crm_events=CrmEvents(store), activity_log=ActivityLog(store))
