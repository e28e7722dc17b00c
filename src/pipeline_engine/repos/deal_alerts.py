"""Alerts of stale deals: one open notification and one task per deal, the tag of deals at risk, and escalations.

The notification is the record of a deal's alert: `{deal_id, user_id, stale_since, slot, task_id, at_risk,
escalation_due, escalation}`. What was decided about a deal is written there last, so that a crash before makes the next
run decide again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine import logs
from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.derived_documents import DerivedDocuments
from pipeline_engine.repos.notifications import AI_NOTIFICATIONS
from pipeline_engine.repos.store import Store

KIND = "stale_deal"
AT_RISK = "at-risk"
TAGS: Document = {"$cond": [{"$isArray": "$tags"}, "$tags", []]}

UNASSIGNED: Document = {"$or": [{"escalation": {"$not": {"$type": "objectId"}}}, {"escalation": {"$type": "array"}}]}
"""Alerts that belong to no escalation yet; a list also matches by its members."""

log = logs.get(__name__)


class DealAlerts:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(AI_NOTIFICATIONS)
        self._tasks = store.collection("tasks")
        self._deals = store.collection("deals")
        self._derived_tasks = DerivedDocuments(store, "tasks", ("source", "deal_id"))
        self._clock = store.clock

    async def alerted(self, account_id: ObjectId, deals: Sequence[Any]) -> set[str]:
        """Those of the deals, as text, that have an open alert."""
        if not deals:
            return set()
        ids = {"$in": [*deals, *map(str, deals)]}
        query = {"account_id": either(account_id), "deal_id": ids, "kind": KIND, "status": "open"}
        return {str(one["deal_id"]) for one in await self._own.find(query, projection=["deal_id"])}

    async def known(self, account_id: ObjectId, ids: Sequence[Any]) -> set[Any]:
        """Those of the ids under which there is an alert, open or closed."""
        if not ids:
            return set()
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        return {one["_id"] for one in await self._own.find(query, projection=["_id"])}

    async def add_tasks(self, tasks: Sequence[Document]) -> None:
        """Insert the tasks that are missing. One that the server refuses is logged and left out."""
        for place, reason in (await self._derived_tasks.insert(tasks)).items():
            log.warning("task.refused", account_id=str(tasks[place]["account_id"]), reason=reason)

    async def end_tasks(self, account_id: ObjectId, ids: Sequence[Any], reason: str) -> None:
        """Mark those of the tasks as done that are open."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "status": "open"}
        change = {"$set": {"status": "done", "closed_reason": reason}, "$currentDate": {"updatedAt": True}}
        await self._tasks.update_many(query, change)

    async def tag(self, account_id: ObjectId, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Tag the deals of these alerts as at risk, each once per alert: a tag that a person takes off stays off."""
        writes = [
            UpdateOne(
                {"_id": one["deal_id"], "account_id": either(account_id), "at_risk.alert": {"$ne": one["_id"]}},
                [{"$set": {"tags": _with_tag(), "at_risk": _mark(one["_id"]), "updatedAt": "$$NOW"}}],
            )
            for one in alerts
        ]
        await self._change_deals(writes)

    async def untag(self, account_id: ObjectId, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Take the tag off where these alerts brought it."""
        bare = {"$filter": {"input": TAGS, "cond": {"$ne": ["$$this", AT_RISK]}}}
        tags = {"$cond": ["$at_risk.tagged", bare, "$tags"]}
        writes = [
            UpdateOne(
                {"_id": one["deal_id"], "account_id": either(account_id), "at_risk.alert": one["_id"]},
                [{"$set": {"tags": tags, "updatedAt": "$$NOW"}}, {"$unset": "at_risk"}],
            )
            for one in alerts
        ]
        await self._change_deals(writes)

    async def _change_deals(self, writes: Sequence[UpdateOne]) -> None:
        """A deal that the server refuses to change keeps no other from it."""
        if refusals := await self._deals.bulk_refusals(writes):
            log.warning("deals.not_tagged", count=len(refusals))

    async def mark_at_risk(self, account_id: ObjectId, ids: Sequence[Any]) -> None:
        """Note that the deals of these alerts are at risk, which is escalated once."""
        if not ids:
            return
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "at_risk": {"$ne": True}}
        await self._own.update_many(query, {"$set": {"at_risk": True, "escalation_due": True}})

    async def begin_escalation(self, account_id: ObjectId) -> dict[ObjectId, list[Document]]:
        """{escalation: its alerts} of everything to escalate. Which alerts make one escalation is stored before it is
        sent, so that a repeat sends the same ones under the same id."""
        due = {"account_id": either(account_id), "escalation_due": True}
        if not await self._own.find_one(due, projection=["_id"]):
            return {}
        await self._own.update_many({**due, **UNASSIGNED}, {"$set": {"escalation": ObjectId()}})
        found: dict[ObjectId, list[Document]] = {}
        for one in await self._own.find(due, sort=[("stale_since", 1)]):
            found.setdefault(one["escalation"], []).append(one)
        return found

    async def end_escalation(self, account_id: ObjectId, escalation: ObjectId) -> None:
        """Note that all admins have been notified of it."""
        query = {"account_id": either(account_id), "escalation_due": True, "escalation": escalation}
        change = {"$set": {"escalated_at": self._clock.now()}, "$unset": {"escalation_due": ""}}
        await self._own.update_many(query, change)

    async def by_user(self, account_id: ObjectId, slot: str) -> list[Document]:
        """`{_id: user, total, new}`: how many alerts each user has that are not snoozed, and how many of this slot."""
        is_new = {"$cond": [{"$eq": ["$slot", slot]}, 1, 0]}
        group = {"_id": "$user_id", "total": {"$sum": 1}, "new": {"$sum": is_new}}
        return await self._own.aggregate(self._awake(account_id), {"$group": group})

    async def longest_of(self, account_id: ObjectId, user: Any, limit: int) -> list[Document]:
        """The user's alerts that are not snoozed, those of the longest silence first."""
        query = {**self._awake(account_id), "user_id": user}
        return await self._own.find(query, limit=limit, sort=[("stale_since", 1)], projection=["body"])

    async def count_open(self, account_id: ObjectId) -> int:
        """How many deals of the account have an open alert."""
        return await self._own.count({"account_id": either(account_id), "kind": KIND, "status": "open"})

    def _awake(self, account_id: ObjectId) -> Document:
        """A filter: open alerts that no one snoozed until later."""
        mine = {"account_id": either(account_id), "kind": KIND, "status": "open"}
        return {**mine, "snoozed_until": {"$not": {"$gt": self._clock.now()}}}


def is_snoozed(alert: Mapping[str, Any], now: datetime) -> bool:
    """Whether a person put the alert off until later."""
    until = alert.get("snoozed_until")
    return isinstance(until, datetime) and until > now


def _with_tag() -> Document:
    return {"$cond": [{"$in": [AT_RISK, TAGS]}, "$tags", {"$concatArrays": [TAGS, [AT_RISK]]}]}


def _mark(alert: Any) -> Document:
    return {"alert": {"$literal": alert}, "tagged": {"$not": [{"$in": [AT_RISK, TAGS]}]}}
