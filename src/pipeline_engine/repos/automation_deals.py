"""Deals as automations see them: which match, what is changed in them, and the marks that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError, WriteError

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.deal_change import DealChange

ENTRY = [("automation_starts", 1), ("_id", 1)]
"""The order in which deals entered; the index has it too."""
MARKS = ("automation_triggered", "automation_failed", "automation_generation")


class AutomationDeals:
    def __init__(self, collection: Collection) -> None:
        self._own = collection

    async def any(self, query: Mapping[str, Any]) -> bool:
        return await self._own.find_one(query, projection=["_id"]) is not None

    async def matching(self, query: Mapping[str, Any], limit: int, but: Sequence[ObjectId] = ()) -> list[Document]:
        """Deals that match, in the order in which they entered the stage."""
        wanted = {**query, "_id": {"$nin": list(but)}} if but else query
        return await self._own.find(wanted, limit=limit, sort=ENTRY)

    async def change(
        self, query: Mapping[str, Any], ids: Sequence[ObjectId], change: DealChange
    ) -> dict[ObjectId, str]:
        """One guarded update: those of `ids` that still match get the change. Returns {id: why} of those that the
        server refused."""
        # One deal that is refused stops the whole update; those before it have it, and do not match a second time.
        for update in change.updates():
            try:
                await self._own.update_many({**query, "_id": {"$in": list(ids)}}, update)
            except WriteError:
                continue
            return {}
        return await self._change_one_by_one(query, ids, change)

    async def _change_one_by_one(
        self, query: Mapping[str, Any], ids: Sequence[ObjectId], change: DealChange
    ) -> dict[ObjectId, str]:
        refused = {}
        for id in ids:
            try:
                await self._own.update_many({**query, "_id": id}, change.expressions())
            except WriteError as error:
                refused[id] = _why(error)
        return refused

    async def marks(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> list[Document]:
        """Of these deals what was done and what failed."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        return await self._own.find(query, projection=MARKS)

    async def creators(self, query: Mapping[str, Any]) -> tuple[list[Any], int]:
        """Who made the matching deals, and how many there are."""
        found = await self._own.aggregate(query, {"$group": {"_id": "$created_by", "deals": {"$sum": 1}}})
        return [one["_id"] for one in found if one["_id"] is not None], sum(one["deals"] for one in found)


def _why(error: WriteError) -> str:
    if isinstance(error, DuplicateKeyError):
        # The server's message would quote the other deal.
        fields = (error.details or {}).get("keyPattern", {})
        return f"another deal has the same {', '.join(fields)}"
    return str((error.details or {}).get("errmsg"))
