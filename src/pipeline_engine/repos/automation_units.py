"""Units (automation, deal, generation) that did not succeed at once: why, how often tried, and when they are tried
again."""

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
class FailedUnit:
    """A unit whose last attempt failed; without `next_at` it is not tried again."""

    id: str
    account_id: ObjectId
    automation_id: ObjectId
    deal_id: ObjectId
    attempts: int
    error: str
    next_at: datetime | None = None
    code: str = ""


class AutomationUnits:
    """A unit is `pending` while it waits for another attempt, `parked` when it was given up."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(AUTOMATION_UNITS)
        self._clock = store.clock

    async def find_pending(self, account_id: ObjectId, automation_id: ObjectId, *fields: str) -> list[Document]:
        """Units that will be tried again, the soonest first, with these fields or all."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "pending"}
        return await self._own.find(query, sort=[("next_at", 1)], projection=list(fields) or None)

    async def pending_of_account(self, account_id: ObjectId) -> list[Document]:
        """`{automation_id, deal_id, attempts}` of all units of the account that will be tried again."""
        fields = ["automation_id", "deal_id", "attempts"]
        return await self._own.find({"account_id": account_id, "state": "pending"}, projection=fields)

    async def find_parked(
        self, account_id: ObjectId, automation_id: ObjectId, deals: Sequence[ObjectId]
    ) -> list[Document]:
        """Units of these deals that were given up, the latest last."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "parked"}
        return await self._own.find({**query, "deal_id": {"$in": list(deals)}}, sort=[("updatedAt", 1)])

    async def save_pending(self, units: Sequence[FailedUnit]) -> None:
        """Store the units for another attempt at their `next_at`."""
        await self._write("pending", units)

    async def save_parked(self, units: Sequence[FailedUnit]) -> None:
        """Store the units as given up; only a request in `retry_automations` of the deal makes them due again."""
        await self._write("parked", units)

    async def remove(self, account_id: ObjectId, ids: Sequence[str]) -> None:
        """Remove units that succeeded after all, or that a user wants to be tried anew."""
        if ids:
            await self._own.delete({"_id": {"$in": list(ids)}, "account_id": account_id})

    async def remove_due(self, account_id: ObjectId, automation_id: ObjectId, until: datetime) -> None:
        """Remove pending units due by `until`. The caller has found nothing to do: their deals match no more."""
        query = {"account_id": account_id, "automation_id": automation_id, "state": "pending"}
        await self._own.delete({**query, "next_at": {"$lte": until}})

    async def _write(self, state: str, units: Sequence[FailedUnit]) -> None:
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
                        "code": unit.code,
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
