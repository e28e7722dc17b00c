"""Notifications of the CRM (`ai_notifications`): inserted under derived ids, and closed when their reason is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.store import Store

AI_NOTIFICATIONS = CollectionSpec(
    "ai_notifications",
    indexes=(
        index("account_id", "kind", "status", "_id"),
        index("account_id", "deal_id", **having("deal_id")),
        index("account_id", "escalation_due", **having("escalation_due")),
    ),
)

log = logs.get(__name__)


class Notifications:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(AI_NOTIFICATIONS)
        self._derived = DerivedDocuments(store, AI_NOTIFICATIONS.name, ("account_id", "kind"))
        self._clock = store.clock

    async def open(self, documents: Sequence[Document]) -> None:
        """Insert the notifications that are missing, with status `open`. One that was closed since stays closed; one
        that the server refuses is logged and left out."""
        now = self._clock.now()
        stamps = {"status": "open", "createdAt": now, "updatedAt": now}
        for place, reason in (await self._derived.insert([{**one, **stamps} for one in documents])).items():
            ids = {"account_id": str(documents[place]["account_id"]), "kind": documents[place].get("kind")}
            log.warning("notification.refused", **ids, reason=reason)

    async def close(self, account_id: ObjectId, ids: Sequence[Any], reason: str) -> None:
        """Close those of the notifications that are open."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "status": "open"}
        change = {"status": "closed", "closed_reason": reason, "closed_at": self._clock.now()}
        await self._own.update_many(query, {"$set": change, "$currentDate": {"updatedAt": True}})

    async def close_about(self, account_id: ObjectId, kind: str, field: str, record: Any, reason: str) -> None:
        """Close the open notifications of a kind that name this record in their field, as id or as text."""
        query = {"account_id": either(account_id), "kind": kind, field: {"$in": [record, str(record)]}}
        found = await self._own.find({**query, "status": "open"}, projection=["_id"])
        await self.close(account_id, [one["_id"] for one in found], reason)

    async def find_open(self, account_id: ObjectId, kind: str, *, after: Any = None, limit: int = 0) -> list[Document]:
        """The account's open notifications of a kind, in order of id, from behind `after` on."""
        query: Document = {"account_id": either(account_id), "kind": kind, "status": "open"}
        if after is not None:
            query["_id"] = {"$gt": after}
        return await self._own.find(query, limit=limit, sort=[("_id", 1)])
