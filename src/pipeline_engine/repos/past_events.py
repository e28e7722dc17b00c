"""CRM events for operators: listed; and, when they have ended, counted, read in order, sent to one taker again."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.event_order import ORDER
from pipeline_engine.repos.store import Store

ENDED = ["done", "dead"]


class PastEvents:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._all = store.collection(CRM_EVENTS).everywhere

    async def latest(self, query: Document, limit: int) -> list[Document]:
        """Events in any state that match, the newest first."""
        return await self._all.find(query, limit=limit, sort=[("occurred_at", -1), ("_id", -1)])

    async def count(self, account_id: ObjectId | None, query: Document) -> int:
        """How many events match."""
        return await self._all.count(_past(account_id, query))

    async def accounts(self, query: Document) -> list[ObjectId]:
        """The accounts with events that match."""
        found = await self._all.aggregate(_past(None, query), {"$group": {"_id": "$account_id"}})
        return list(dict.fromkeys(id for one in found if (id := object_id(one["_id"])) is not None))

    async def batches(self, account_id: ObjectId, query: Document, size: int) -> AsyncIterator[list[Document]]:
        """The account's events that match, in their order, `size` at a time."""
        batch: list[Document] = []
        async for event in self._all.stream(_past(account_id, query), sort=ORDER):
            batch.append(event)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    async def restrict(self, account_id: ObjectId, query: Document, name: str, id: str) -> int:
        """Let `name` (workflows, webhooks) take the account's events again, for the one document of this id. Those that
        it has not taken yet are left alone, as all of its documents get them. Returns how many."""
        free = {"$and": [_past(account_id, query), {"onward": {"$ne": name}}]}
        known = {"$cond": [{"$isArray": "$onward"}, "$onward", []]}
        only = {"$cond": [{"$eq": [{"$type": "$only"}, "object"]}, "$only", {}]}
        change = {"onward": {"$concatArrays": [known, [name]]}, "only": {"$mergeObjects": [only, {name: id}]}}
        return await self._all.update_many(free, [{"$set": change}])

    async def account_of(self, collection: str, id: str) -> ObjectId | None:
        """The account of a document of `workflows` or `webhooks`; None when there is none."""
        ids = [id, ObjectId(id)] if ObjectId.is_valid(id) else [id]
        found = await self._store.collection(collection).everywhere.find_one(
            {"_id": {"$in": ids}}, projection=["account_id"]
        )
        return object_id(found.get("account_id")) if found else None


def _past(account_id: ObjectId | None, query: Document) -> Document:
    own = {"account_id": either(account_id)} if account_id else {}
    return {"status": {"$in": ENDED}, **own, **query}
