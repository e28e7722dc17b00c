"""What is known about contacts, many at a time: forms, activities, deals, signals, sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.contact_records import INTENT_SIGNALS, RUNNING
from pipeline_engine.repos.deals import DEALS
from pipeline_engine.repos.lead_exits import ACTIVITIES
from pipeline_engine.repos.store import Store

FORM_SUBMISSIONS = CollectionSpec("form_submissions", indexes=(index("account_id", "contact_id"),))

Contacts = set[ObjectId]


class ContactFacts:
    def __init__(self, store: Store) -> None:
        self._forms = store.collection(FORM_SUBMISSIONS)
        self._signals = store.collection(INTENT_SIGNALS)
        self._activities = store.collection(ACTIVITIES)
        self._deals = store.collection(DEALS)
        self._enrollments = store.collection("workflow_enrollments")
        self._sequences = store.collection("sequences")

    async def with_form(self, account_id: ObjectId, contacts: Sequence[ObjectId]) -> Contacts:
        """Those that have submitted a form, as a submission or a signal says."""
        of_form = {"type": "form_submission"}
        return await _having(self._forms, account_id, contacts, {}) | await _having(
            self._signals, account_id, contacts, of_form
        )

    async def with_activity(self, account_id: ObjectId, contacts: Sequence[ObjectId], types: Sequence[str]) -> Contacts:
        """Those with an activity of one of these types."""
        return await _having(self._activities, account_id, contacts, {"type": {"$in": list(types)}})

    async def with_deal(self, account_id: ObjectId, contacts: Sequence[ObjectId], query: Document) -> Contacts:
        """Those with a deal that matches."""
        return await _having(self._deals, account_id, contacts, query)

    async def in_sequence(self, account_id: ObjectId, contacts: Sequence[ObjectId]) -> Contacts:
        """Those that are in a sequence which has not ended."""
        query = {"status": {"$in": RUNNING}, "sequence_id": {"$exists": True, "$ne": None}}
        return await _having(self._enrollments, account_id, contacts, query)

    async def latest_sign(
        self, account_id: ObjectId, since: Mapping[ObjectId, datetime], types: Sequence[str]
    ) -> dict[ObjectId, str]:
        """{contact: type of its latest signal or activity of these types}, of each since the time in `since`"""
        if not since:
            return {}
        contacts, recent = list(since), {"occurred_at": {"$gte": min(since.values())}, "type": {"$in": list(types)}}
        found = [
            *await _of(self._signals, account_id, contacts, recent, "type", "occurred_at"),
            *await _of(self._activities, account_id, contacts, recent, "type", "occurred_at"),
        ]
        dated = [(date, one) for one in found if (date := usable_date(one.get("occurred_at")))]
        return {
            id: str(one["type"])
            for date, one in sorted(dated, key=lambda pair: pair[0])
            if (id := object_id(one["contact_id"])) and date >= since[id]
        }

    async def sequence_is_active(self, account_id: ObjectId, sequence_id: Any) -> bool:
        """Whether the account has this sequence and it is active."""
        id = object_id(sequence_id)
        query = {"account_id": either(account_id), "active": {"$ne": False}}
        return id is not None and await self._sequences.find_one({"_id": either(id), **query}) is not None


async def _having(
    collection: Collection, account_id: ObjectId, contacts: Sequence[ObjectId], query: Document
) -> Contacts:
    found = await _of(collection, account_id, contacts, query)
    return {id for one in found if (id := object_id(one["contact_id"]))}


async def _of(
    collection: Collection, account_id: ObjectId, contacts: Sequence[ObjectId], query: Document, *fields: str
) -> list[Document]:
    mine = {"account_id": either(account_id), "contact_id": {"$in": [*contacts, *map(str, contacts)]}}
    return await collection.find({**mine, **query}, projection=["contact_id", *fields]) if contacts else []
