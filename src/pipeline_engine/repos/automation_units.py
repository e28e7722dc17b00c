"""Units (automation, deal, generation) that did not succeed at once: why, how often, and when they come again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

AUTOMATION_UNITS = CollectionSpec(
    "automation_units",
    indexes=(index("account_id", "automation_id", "state", "next_at"),),
)


@dataclass(frozen=True)
class Unit:
    """One that failed; without `next_at` it has failed for good."""

    id: str
    account_id: ObjectId
    automation_id: ObjectId
    deal_id: ObjectId
    attempts: int
    error: str
    next_at: datetime | None = None


class AutomationUnits:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(AUTOMATION_UNITS)
        self._clock = store.clock

    async def pending(self, account_id: ObjectId, automation_id: ObjectId) -> list[Document]:
        """Units that will be tried again, the next one first."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "pending"}
        return await self._own.find(query, sort=[("next_at", 1)])

    async def parked(self, account_id: ObjectId, automation_id: ObjectId, deals: Sequence[ObjectId]) -> list[Document]:
        """Units of these deals that were given up, the latest last."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "parked"}
        return await self._own.find({**query, "deal_id": {"$in": list(deals)}}, sort=[("updatedAt", 1)])

    async def put_off(self, units: Sequence[Unit]) -> None:
        """Try them again later."""
        await self._write("pending", units)

    async def park(self, units: Sequence[Unit]) -> None:
        """They will not be tried again unless somebody asks."""
        await self._write("parked", units)

    async def settle(self, account_id: ObjectId, ids: Sequence[str]) -> None:
        """They succeeded after all, or are asked for anew: nothing is left to remember."""
        if ids:
            await self._own.delete({"_id": {"$in": list(ids)}, "account_id": account_id})

    async def forget_due(self, account_id: ObjectId, automation_id: ObjectId, until: datetime) -> None:
        """Drop what should have been tried again by then and was not wanted any more: its deal has gone."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "pending"}
        await self._own.delete({**query, "next_at": {"$lte": until}})

    async def _write(self, state: str, units: Sequence[Unit]) -> None:
        now = self._clock.now()
        writes = [
            UpdateOne(
                {"_id": unit.id, "account_id": unit.account_id},
                {
                    "$set": {
                        "state": state,
                        "attempts": unit.attempts,
                        "next_at": unit.next_at,
                        "last_error": unit.error,
                        "updatedAt": now,
                    },
                    "$setOnInsert": {"automation_id": unit.automation_id, "deal_id": unit.deal_id, "createdAt": now},
                },
                upsert=True,
            )
            for unit in units
        ]
        if writes:
            await self._own.bulk(writes)
