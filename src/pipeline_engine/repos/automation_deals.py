"""Deals as automations use them: which match, what is changed in them, and the marks that record it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.bulk_change import Changed, apply_change
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.deal_change import DealChange
from pipeline_engine.repos.deals import DEALS
from pipeline_engine.repos.store import Store

ORDER_OF_ENTRY = [("automation_starts", 1), ("_id", 1)]
"""The order in which deals entered the stage, which is that of the index."""
MARKS = ("automation_triggered", "automation_failed", "automation_generation")


class AutomationDeals:
    """Every query is given whole by `domain/automations/matching`; it contains the account."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(DEALS)
        self._stages = store.collection("pipeline_stages")

    async def any_match(self, query: Mapping[str, Any]) -> bool:
        """Whether at least one deal matches."""
        return await self._own.find_one(query, projection=["_id"]) is not None

    async def find_matching(
        self,
        query: Mapping[str, Any],
        limit: int,
        but: Sequence[ObjectId] = (),
        behind: Mapping[str, Any] | None = None,
        fields: Sequence[str] | None = None,
    ) -> list[Document]:
        """At most `limit` deals (0: all) that match, in the order in which they entered the stage.

        `but` leaves deals out; `behind` is a deal after which the others must come; `fields` limits what is read."""
        id: Document = {"$nin": list(but)} if but else {}
        if behind is None:
            return await self._find(query, id, limit, fields)
        # Two queries, each a range of the index: many deals may have entered in the same millisecond.
        entered = behind["automation_starts"]
        beside = {**query, "automation_starts": entered}
        found = await self._find(beside, {**id, "$gt": behind["_id"]}, limit, fields)
        if len(found) < limit:
            later = {**query, "automation_starts": {**query["automation_starts"], "$gt": entered}}
            found += await self._find(later, id, limit - len(found), fields)
        return found

    async def _find(
        self, query: Mapping[str, Any], id: Document, limit: int, fields: Sequence[str] | None
    ) -> list[Document]:
        wanted = {**query, "_id": {**query.get("_id", {}), **id}}
        return await self._own.find(wanted, limit=limit, sort=ORDER_OF_ENTRY, projection=fields)

    async def portions(
        self, account_id: ObjectId, ids: Sequence[ObjectId], fields: Sequence[str] | None
    ) -> AsyncIterator[list[Document]]:
        """Those of the deals that are still there, at most 16 MB at a time; `fields` limits what is read."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        async for portion in self._own.replies(query, projection=fields):
            yield portion

    async def apply_change(self, query: Mapping[str, Any], ids: Sequence[ObjectId], change: DealChange) -> Changed:
        """Change those of `ids` that still match, and no other deal."""
        return await apply_change(self._own, query, ids, change)

    async def pipeline_of(self, account_id: ObjectId, stage_id: ObjectId) -> ObjectId | None:
        """The pipeline of the account's stage; None where the CRM keeps no such stage, or it names none."""
        query = {"_id": either(stage_id), "account_id": either(account_id)}
        stage = await self._stages.find_one(query, projection=["pipeline_id"])
        return object_id(stage.get("pipeline_id")) if stage else None

    async def find_marks(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> list[Document]:
        """The marks of these deals: which automations were done, which failed, and their generations."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        return await self._own.find(query, projection=MARKS)

    async def creators(self, query: Mapping[str, Any]) -> tuple[list[Any], int]:
        """The users who created the matching deals, and how many deals match."""
        found = await self._own.aggregate(query, {"$group": {"_id": "$created_by", "deals": {"$sum": 1}}})
        return [one["_id"] for one in found if one["_id"] is not None], sum(one["deals"] for one in found)
