"""What operators read of lead pipelines: by ids that they type, so of any account, and never a whole collection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.store import Store

EARLIER_ENTRIES = 20
"""How many entries of one lead are shown."""


class LeadRecords:
    """Every query returns documents as they are stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def one(self, collection: str, id: ObjectId) -> Document | None:
        """A document of one of the collections of lead pipelines by its id."""
        return await self._all(collection).find_one({"_id": either(id)})

    async def latest(self, limit: int, **where: Any) -> list[Document]:
        """The newest lead stages with these values; references match as ObjectId and as text."""
        query = {name: either(value) if isinstance(value, ObjectId) else value for name, value in where.items()}
        return await self._all("lead_stages").find(query, sort=[("_id", -1)], limit=limit)

    async def entries(self, account_id: Any, lead_id: Any) -> list[Document]:
        """The lead's entries into stages, the newest first."""
        query = {"account_id": _forms(account_id), "lead_id": _forms(lead_id)}
        return await self._all("lead_stages").find(query, sort=[("_id", -1)], limit=EARLIER_ENTRIES)

    async def rows(self, account_id: Any, lead_stage_id: Any) -> list[Document]:
        """The actions of one lead stage in their order."""
        query = {"account_id": _forms(account_id), "lead_stage_id": lead_stage_id}
        return await self._all("lead_stage_actions").find(query, sort=[("sequence_number", 1)])

    async def effects(self, account_id: Any, lead_stage_id: Any) -> list[Document]:
        """The records of what was sent for one lead stage."""
        # The expression has a fixed beginning, so it reads a part of the index on `_id`.
        query = {"_id": {"$regex": f"^lead:{re.escape(str(lead_stage_id))}:"}, "account_id": _forms(account_id)}
        return await self._all("effects").find(query)

    async def responses(self, account_id: Any, lead_id: Any, since: datetime) -> list[Document]:
        """The replies of a lead that were received since then, without their texts."""
        query = {"account_id": _forms(account_id), "lead_id": _forms(lead_id), "received_at": {"$gte": since}}
        return await self._all("lead_responses").find(query, projection={"text": 0}, sort=[("received_at", 1)])

    async def count(self, collection: str, account_id: ObjectId, query: Document) -> int:
        """How many documents of the account match."""
        return await self._all(collection).count({"account_id": either(account_id), **query})

    async def places(self, account_id: Any, stage_id: ObjectId) -> list[Document]:
        """{_id: {sequence, type}, leads, first} for each place at which active leads of the stage are, in their order;
        `first` is one of the entries there."""
        query = {"account_id": _forms(account_id), "stage_id": either(stage_id), "status": "active"}
        place = {"sequence": "$current_sequence", "type": "$current_type"}
        group = {"$group": {"_id": place, "leads": {"$sum": 1}, "first": {"$first": "$_id"}}}
        return await self._all("lead_stages").aggregate(query, group, {"$sort": {"_id.sequence": 1}})

    async def delays(self, since: datetime, edges: Sequence[float], account_id: ObjectId | None) -> list[Document]:
        """{account_id, type, counts, total, longest}: how many actions that began since then began how late.

        `counts` has one number for each edge (seconds; up to it) and one for what was later."""
        query = {"performed_at": {"$gte": since}, "started_at": {"$type": "date"}, "perform_at": {"$type": "date"}}
        # With the accounts named, the query reads the index from `since` on, not all that was ever done.
        mine = {"account_id": either(account_id) if account_id else {"$in": await self._acting_accounts()}}
        # A reply ends a wait before its time-out, and an action that failed is due later again: neither is late.
        late = {"$max": [0, {"$divide": [{"$subtract": ["$started_at", "$perform_at"]}, 1000]}]}
        lows = (None, *edges)
        bins = {
            f"c{n}": {"$sum": {"$cond": [_between(low, high), 1, 0]}}
            for n, (low, high) in enumerate(zip(lows, (*edges, None), strict=True))
        }
        by = {"account_id": "$account_id", "type": "$type"}
        total = {"total": {"$sum": 1}, "longest": {"$max": "$late"}}
        stages = ({"$set": {"late": late}}, {"$group": {"_id": by, **total, **bins}}, {"$sort": {"total": -1}})
        found = await self._all("lead_stage_actions").aggregate({**mine, **query}, *stages)
        counts = [[one[f"c{n}"] for n in range(len(edges) + 1)] for one in found]
        return [
            {**one["_id"], "counts": some, "total": one["total"], "longest": one["longest"]}
            for one, some in zip(found, counts, strict=True)
        ]

    async def _acting_accounts(self) -> list[Any]:
        """Every account of which an action was copied; one step in the index for each."""
        order = {"$sort": {"account_id": 1, "performed_at": 1}}
        group = {"$group": {"_id": "$account_id", "first": {"$first": "$account_id"}}}
        return [one["_id"] for one in await self._all("lead_stage_actions").aggregate({}, order, group)]

    def _all(self, collection: str) -> Collection:
        return self._store.collection(collection).everywhere


def _between(low: float | None, high: float | None) -> Document:
    above = [{"$gt": ["$late", low]}] if low is not None else []
    below = [{"$lte": ["$late", high]}] if high is not None else []
    return {"$and": [*above, *below]}


def _forms(id: Any) -> Any:
    return either(id) if isinstance(id, ObjectId) else {"$eq": id}
