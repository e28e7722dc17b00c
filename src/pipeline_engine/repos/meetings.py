"""Calendar events, and the meetings that hold what was prepared for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.sales_records import NO_LIST
from pipeline_engine.repos.store import Store

MEETINGS = CollectionSpec("meetings", indexes=(index("account_id", "calendar_event_id"),))
CANCELLED = ["cancelled", "canceled", "declined"]
UNMARKED: Document = {"$expr": {"$ne": ["$starts_at", "$prepared_for"]}}


class Meetings:
    def __init__(self, store: Store) -> None:
        self._events = store.collection("calendar_events")
        self._own = store.collection(MEETINGS)

    async def unmarked(self, account_id: ObjectId, first: datetime, last: datetime, limit: int) -> list[Document]:
        """Calendar events that start within these times, were not cancelled, and are not marked as prepared for the
        time at which they start; the earliest first."""
        query: Document = {"account_id": either(account_id), "starts_at": {"$gte": first, "$lte": last, **NO_LIST}}
        query |= {"status": {"$nin": CANCELLED}, **UNMARKED}
        return await self._events.find(query, limit=limit, sort=[("starts_at", 1)])

    async def of_events(self, account_id: ObjectId, events: Sequence[Any]) -> dict[str, Document]:
        """{id of an event as text: its meeting}; of several meetings, one with a brief."""
        if not events:
            return {}
        ids = [*events, *map(str, events)]
        query = {"account_id": either(account_id), "calendar_event_id": {"$in": ids}}
        found = await self._own.find(query, projection=["calendar_event_id", "brief", "brief_starts_at"])
        found.sort(key=lambda one: bool(one.get("brief")))
        return {str(one["calendar_event_id"]): one for one in found}

    async def store_brief(
        self, account_id: ObjectId, event: Mapping[str, Any], id: Any, brief: Document, now: datetime
    ) -> None:
        """Give the meeting of this id its brief; it is made where the CRM has none."""
        change = {"brief": brief, "brief_starts_at": event["starts_at"], "updatedAt": now}
        own = {"account_id": account_id, "calendar_event_id": event["_id"], "title": event.get("title")}
        update = {"$set": change, "$setOnInsert": {**own, "createdAt": now}}
        await self._own.update_one({"_id": id, "account_id": either(account_id)}, update, upsert=True)

    async def mark(self, account_id: ObjectId, event: Mapping[str, Any]) -> None:
        """Note on the event that nothing is left to prepare for the time at which it starts."""
        query = {"_id": event["_id"], "account_id": either(account_id)}
        await self._events.update_one(query, {"$set": {"prepared_for": event["starts_at"]}})

    async def accounts_with_unmarked(self, first: datetime, last: datetime) -> list[Any]:
        """The accounts with events as in `unmarked` that start within these times, as the events name them."""
        query: Document = {"starts_at": {"$gte": first, "$lte": last, **NO_LIST}}
        query |= {"status": {"$nin": CANCELLED}, **UNMARKED}
        found = await self._events.everywhere.aggregate(query, {"$group": {"_id": "$account_id"}})
        return [one["_id"] for one in found]


def meeting_id(account_id: ObjectId, event_id: Any) -> ObjectId:
    """The id of the meeting that the engine makes for an event."""
    return derived_id("meeting", account_id, event_id)
