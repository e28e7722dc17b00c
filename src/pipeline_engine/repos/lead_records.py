"""What operators read of lead pipelines: by ids that they type, so of any account, and never a whole collection."""

from __future__ import annotations

import re
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

    def _all(self, collection: str) -> Collection:
        return self._store.collection(collection).everywhere


def _forms(id: Any) -> Any:
    return either(id) if isinstance(id, ObjectId) else {"$eq": id}
