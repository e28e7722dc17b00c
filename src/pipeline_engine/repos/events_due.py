"""Documents that carry `events_due`: events that became true with the document and still have to be passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EVENTS_DUE, CollectionSpec
from pipeline_engine.repos.store import Store


class EventsDue:
    """The events due of one collection, over all accounts."""

    def __init__(self, store: Store, spec: CollectionSpec) -> None:
        self._all = store.collection(spec).everywhere

    async def ids(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of documents with events due."""
        return await self._all.find(EVENTS_DUE, limit=limit, projection=["account_id"])

    async def get(self, id: Any) -> Document | None:
        """`{_id, account_id, events_due}` of a document that has events due, else None."""
        return await self._all.find_one({"_id": id, **EVENTS_DUE}, projection=["account_id", "events_due"])

    async def clear(self, document: Mapping[str, Any]) -> None:
        """Forget the events that were due when `document` was read; later ones stay."""
        query = {"_id": document["_id"], "events_due": document["events_due"]}
        await self._all.update_one(query, {"$unset": {"events_due": ""}})
