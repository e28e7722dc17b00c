"""What happened in an account in the last day and in each of the seven days before, counted by the server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.expressions import as_text
from pipeline_engine.repos.sales_records import NO_LIST, OPEN, TOUCH_TYPES
from pipeline_engine.repos.store import Store

AGENT_INSIGHTS = CollectionSpec("agent_insights", indexes=(index("account_id", "day"),))

DAYS = 8
"""The last day and the seven before it."""
DAY = timedelta(days=1)
DAY_MS = 86_400_000
SENT, OPENED, CLICKED = ("sequence_email", "email_sent"), ("email_open",), ("link_click", "email_click")
DONE = [one for one in TOUCH_TYPES if one not in ("email_received", "email_replied")]
"""Types of activities that a user of the account has carried out."""
LISTED_DEALS = ("$data.deals", "$data.deal_ids")
"""Where an event of moved deals lists them: the first is the engine's, the CRM may use either."""
OPENED_EVENT, CLICKED_EVENT = "email.opened", "email.clicked"

Counts = list[int]
"""How many there were, by day: the last one first."""


class AccountFigures:
    def __init__(self, store: Store) -> None:
        self._contacts = store.collection("contacts")
        self._deals = store.collection("deals")
        self._events = store.collection("crm_events")
        self._activities = store.collection("activities")
        self._insights = store.collection(AGENT_INSIGHTS)

    async def new_contacts(self, account_id: ObjectId, end: datetime) -> Counts:
        """How many contacts were made."""
        return (await self._by_day(self._contacts, account_id, "createdAt", end)).get(None, [0] * DAYS)

    async def new_deals(self, account_id: ObjectId, end: datetime) -> Counts:
        """How many deals were made."""
        return (await self._by_day(self._deals, account_id, "createdAt", end)).get(None, [0] * DAYS)

    async def events(self, account_id: ObjectId, end: datetime) -> dict[Any, Counts]:
        """{type of CRM event: how many}; a batch of stage moves counts as many as it moved deals."""
        types = {"type": {"$in": ["deal.stage_changed", OPENED_EVENT, CLICKED_EVENT]}}
        moved: list[Document] = [{"$cond": [{"$isArray": ids}, {"$size": ids}, 1]} for ids in LISTED_DEALS]
        weight: Document = {"$cond": [{"$eq": ["$type", "deal.stage_changed"]}, {"$max": [1, *moved]}, 1]}
        return await self._by_day(self._events, account_id, "occurred_at", end, types, "$type", weight)

    async def mails(self, account_id: ObjectId, end: datetime) -> dict[Any, Counts]:
        """{type of activity: how many}, of mails that were sent, opened and clicked."""
        out = {"type": "email", "data.direction": "out"}
        types = {"$or": [{"type": {"$in": [*SENT, *OPENED, *CLICKED]}}, out]}
        return await self._by_day(self._activities, account_id, "occurred_at", end, types, "$type")

    async def performers(self, account_id: ObjectId, end: datetime, limit: int) -> list[Document]:
        """`{_id: user, n, before}`: who touched contacts and deals most often in the last day, and how often in the
        seven days before. Mail that came in is nothing that the user did."""
        user = {"$ifNull": ["$user_id", "$data.user_id"]}
        query = {"account_id": either(account_id), "type": {"$in": DONE}, "data.direction": {"$ne": "in"}}
        query["occurred_at"] = _within(end, DAYS)
        is_new = {"$cond": [{"$gt": ["$occurred_at", end - DAY]}, 1, 0]}
        counts = {"n": {"$sum": is_new}, "before": {"$sum": {"$subtract": [1, is_new]}}}
        group = {"$group": {"_id": as_text(user), **counts}}
        named = {"$match": {"_id": {"$ne": None}, "n": {"$gt": 0}}}
        return await self._activities.aggregate(query, group, named, {"$sort": {"n": -1, "_id": 1}}, {"$limit": limit})

    async def stages(self, account_id: ObjectId) -> list[Document]:
        """`{_id: stage, n, newest}` of stages with open deals: how many, and when the last one came in."""
        query = {"account_id": either(account_id), **OPEN, "automation_starts": {"$type": "date", **NO_LIST}}
        group = {"_id": "$stage_id", "n": {"$sum": 1}, "newest": {"$max": "$automation_starts"}}
        return await self._deals.aggregate(query, {"$group": group})

    async def _by_day(
        self,
        of: Collection,
        account_id: ObjectId,
        field: str,
        end: datetime,
        query: Document | None = None,
        kind: Any = None,
        weight: Any = 1,
    ) -> dict[Any, Counts]:
        day = {"$floor": {"$divide": [{"$subtract": [end, f"${field}"]}, DAY_MS]}}
        group = {"$group": {"_id": {"day": day, "kind": kind}, "n": {"$sum": weight}}}
        mine = {"account_id": either(account_id), field: _within(end, DAYS), **(query or {})}
        found: dict[Any, Counts] = {}
        for one in await of.aggregate(mine, group):
            found.setdefault(one["_id"].get("kind"), [0] * DAYS)[int(one["_id"]["day"])] += one["n"]
        return found

    async def store_insight(self, id: ObjectId, account_id: ObjectId, day: str, insight: Document) -> None:
        """Store the insight of the account's day, in place of one that was made before."""
        update = {"$set": insight, "$setOnInsert": {"day": day}, "$currentDate": {"updatedAt": True}}
        await self._insights.update_one({"_id": id, "account_id": account_id}, update, upsert=True)


def _within(end: datetime, days: int) -> Document:
    """A filter: a date of the last `days` days before `end`."""
    return {"$gt": end - days * DAY, "$lte": end, **NO_LIST}


def total(counts: dict[Any, Counts], kinds: Sequence[str]) -> Counts:
    """The counts of several kinds together."""
    return [sum(counts.get(kind, [0] * DAYS)[day] for kind in kinds) for day in range(DAYS)]
