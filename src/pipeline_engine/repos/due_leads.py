"""What a sweep asks about lead stages of all accounts: a few indexed questions, however many leads there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.expressions import STRANGE_ACCOUNT, id_or_none
from pipeline_engine.repos.lead_stages import LEAD_STAGES, LeadStages
from pipeline_engine.repos.store import Store

LANES = ("internal", "email", "sms")
"""What `current_lane` may be."""
OTHER_TYPES = (
    *("double", "string", "object", "binData", "objectId", "bool", "regex", "javascript", "int", "timestamp", "long"),
    *("decimal", "minKey", "maxKey", "dbPointer"),
)
"""What BSON can hold in place of a date."""


class DueLeads:
    def __init__(self, store: Store, stages: LeadStages) -> None:
        self._stages = stages
        self._entries = store.collection(LEAD_STAGES).everywhere

    async def accounts(self, until: datetime) -> list[Document]:
        """{account_id, lane, first due time} of every account with entries due by `until`; lane None: they enter.

        account_id None: there are `misplaced` entries.
        """
        available, account = await self._stages.available(), id_or_none("$account_id")
        known_lane = {"$cond": [{"$in": ["$current_lane", list(LANES)]}, "$current_lane", None]}
        group = {"$group": {"_id": {"account_id": account, "lane": known_lane}, "first": {"$min": "$perform_at"}}}
        active = {"status": "active", "perform_at": {"$lte": until}, **available}
        found = [{**one["_id"], "first": one["first"]} for one in await self._entries.aggregate(active, group)]
        due = [{**one, "account_id": one["account_id"] if one["lane"] else None} for one in found]
        entering = {"$group": {"_id": {"account_id": account}}}
        waiting = await self._entries.aggregate({"status": "entering", **available}, entering)
        return due + [{**one["_id"], "lane": None} for one in waiting]

    async def misplaced(self, until: datetime, limit: int) -> list[tuple[Any, str]]:
        """(_id, what is wrong) of entries that no job can work off: their account is no id, or their lane is none."""
        due = {"$or": [{"status": "active", "perform_at": {"$lte": until}}, {"status": "entering"}]}
        strange_lane = {"status": "active", "current_lane": {"$nin": list(LANES)}}
        query = {"$and": [due, {"$or": [STRANGE_ACCOUNT, strange_lane]}, await self._stages.available()]}
        found = await self._entries.find(query, limit=limit, projection=["current_lane", "status"])
        lane = f"current_lane is none of {', '.join(LANES)}"
        return [(one["_id"], lane if _is_strange(one) else "account_id is no id") for one in found]

    async def undated(self, limit: int) -> list[tuple[Any, str]]:
        """(_id, what is wrong) of active entries that are never due, because `perform_at` holds no date."""
        # Each branch reads a part of the index; a negation would read all that wait.
        kinds: list[Document] = [{"perform_at": {"$type": kind}} for kind in OTHER_TYPES]
        query = {"status": "active", "$or": [*kinds, {"perform_at": {"$in": [None, [], [[]]]}}]}
        found = await self._entries.find({**query, **await self._stages.available()}, limit=limit, projection=["_id"])
        return [(one["_id"], "perform_at is no date") for one in found]

    async def abandoned(self) -> list[Any]:
        """The accounts of entries whose holder has died, whatever their state; None for what is no id."""
        query = {"lease_owner": {"$gt": ""}, **self._stages.unclaimed, **await self._stages.available()}
        found = await self._entries.aggregate(query, {"$group": {"_id": id_or_none("$account_id")}})
        return [one["_id"] for one in found]

    async def entries(self, until: datetime, limit: int) -> list[Document]:
        """Entries of all accounts that are due by `until`, the longest due first: `run-once` counts them."""
        due = {"$or": [{"status": "active", "perform_at": {"$lte": until}}, {"status": "entering"}]}
        fields = ["account_id", "status", "current_lane"]
        query = {"$and": [due, await self._stages.available()]}
        return await self._entries.find(query, limit=limit, sort=[("perform_at", 1)], projection=fields)

    async def set_aside(self, entries: Sequence[tuple[Any, str]]) -> None:
        """Set the entries aside, each with the reason why no job can work it off."""
        for id, reason in entries:
            await self._stages.set_aside(id, reason)


def _is_strange(entry: Document) -> bool:
    return entry.get("status") == "active" and entry.get("current_lane") not in LANES
