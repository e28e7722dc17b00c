"""Units (automation, deal, generation) that did not succeed at once: why, how often, and when they come again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection


class AutomationUnits:
    def __init__(self, collection: Collection, clock: Clock) -> None:
        self._own = collection
        self._clock = clock

    async def of(self, account_id: ObjectId, ids: Sequence[str]) -> dict[str, Document]:
        """{unit: document} of those that have failed before."""
        found = await self._own.find({"_id": {"$in": list(ids)}, "account_id": account_id})
        return {one["_id"]: one for one in found}

    async def pending(self, account_id: ObjectId, automation_id: ObjectId) -> list[Document]:
        """Units that will be tried again, the next one first."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "pending"}
        return await self._own.find(query, sort=[("next_at", 1)])

    async def parked(self, account_id: ObjectId, automation_id: ObjectId, deals: Sequence[ObjectId]) -> list[Document]:
        """Units of these deals that were given up."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "parked"}
        return await self._own.find({**query, "deal_id": {"$in": list(deals)}})

    async def put_off(self, unit: Document, attempts: int, next_at: datetime, error: str) -> None:
        """Try it again later."""
        await self._write(unit, {"state": "pending", "attempts": attempts, "next_at": next_at, "last_error": error})

    async def park(self, unit: Document, attempts: int, error: str) -> None:
        """It will not be tried again unless somebody asks."""
        await self._write(unit, {"state": "parked", "attempts": attempts, "next_at": None, "last_error": error})

    async def settle(self, account_id: ObjectId, ids: Sequence[str]) -> None:
        """They succeeded after all, or are no longer wanted: nothing is left to remember."""
        if ids:
            await self._own.delete({"_id": {"$in": list(ids)}, "account_id": account_id})

    async def _write(self, unit: Document, state: Document) -> None:
        """`unit` is {_id, account_id, automation_id, deal_id}."""
        key = {"_id": unit["_id"], "account_id": unit["account_id"]}
        now = self._clock.now()
        fixed = {"automation_id": unit["automation_id"], "deal_id": unit["deal_id"], "createdAt": now}
        await self._own.update_one(key, {"$set": {**state, "updatedAt": now}, "$setOnInsert": fixed}, upsert=True)
