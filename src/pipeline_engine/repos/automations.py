"""Automations: the documents of `automations` with `module: 'DEAL'`, and who runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.lease import FREE, GIVEN_BACK, Lease

GATE: Document = {  # createdAt + delay has passed
    "$lte": [{"$add": ["$createdAt", {"$multiply": [{"$ifNull": ["$delay", 0]}, 1000]}]}, "$$NOW"],
}
PAUSE_OVER: Document = {"$lte": [{"$ifNull": ["$paused_until", "$$NOW"]}, "$$NOW"]}
# A flag set without a lease is an older engine's; after ten minutes without a sign of life it counts for nothing.
STALE_FLAG: Document = {
    "$and": [
        {"is_running": True, "lease_until": None},
        {
            "$expr": {
                "$gt": [
                    {"$ifNull": ["$updatedAt", "$flag_seen_at", "$$NOW"]},
                    {"$dateSubtract": {"startDate": "$$NOW", "unit": "minute", "amount": 10}},
                ]
            }
        },
    ]
}
READY: Document = {
    "status": "ACTIVE",
    "module": "DEAL",
    "$expr": {"$and": [GATE, PAUSE_OVER]},
    "$and": [FREE, {"$nor": [STALE_FLAG]}],
}


class Automations:
    def __init__(self, collection: Collection, accounts: Collection, lease: Lease) -> None:
        self._all = collection.everywhere
        self._own = collection
        self._accounts = accounts.everywhere
        self._lease = lease

    async def ready(self, only: Sequence[ObjectId] | None = None) -> list[Document]:
        """Automations of active accounts that may run now, oldest first; whether a deal matches is another question."""
        query = {**READY, "_id": {"$in": list(only)}} if only is not None else READY
        found = await self._all.find(query, sort=[("_id", 1)])
        active = await self._active_accounts([one.get("account_id") for one in found])
        return [one for one in found if str(one.get("account_id")) in active]

    async def _active_accounts(self, ids: Sequence[Any]) -> set[str]:
        wanted = {form for id in ids for form in (id, str(id))}
        query = {"_id": {"$in": list(wanted)}, "active": True}
        return {str(one["_id"]) for one in await self._accounts.find(query, projection=["_id"])}

    async def account_is_active(self, account_id: Any) -> bool:
        return bool(await self._active_accounts([account_id]))

    async def siblings(self, account_id: Any, stage_id: Any) -> list[Document]:
        """The active automations of a stage that do not move deals away and are not paused."""
        query = {"account_id": account_id, "stage_id": stage_id, "status": "ACTIVE", "module": "DEAL"}
        return await self._own.find({**query, "type": {"$ne": "stage"}, "$expr": PAUSE_OVER})

    async def claim(self, automation_id: ObjectId) -> Document | None:
        """Take it for one slice, or None when it is not ready or somebody else's."""
        run = {"$ifNull": ["$run", {"$literal": {"id": str(ObjectId()), "told": False}}]}
        claim = self._lease.claim(is_running=True, run=run)
        return await self._all.take({**READY, "_id": automation_id}, claim)

    async def change(self, held: Mapping[str, Any], values: Document) -> Document | None:
        """Set fields of an automation that this run holds; None when the lease went to somebody else."""
        return await self._set(held, values)

    async def give_back(self, held: Mapping[str, Any], values: Document | None = None) -> Document | None:
        """Let go of it; the run goes on with the next slice, or has ended when `values` clear `run`."""
        return await self._set(held, {**(values or {}), **GIVEN_BACK, "is_running": False})

    async def _set(self, held: Mapping[str, Any], values: Document) -> Document | None:
        query = {"_id": held["_id"], "account_id": held.get("account_id"), "token": held["token"]}
        literal = {name: {"$literal": value} for name, value in values.items()}
        return await self._own.take(query, [{"$set": {**literal, "updatedAt": "$$NOW"}}])

    async def get(self, automation_id: ObjectId) -> Document | None:
        return await self._all.find_one({"_id": automation_id})

    async def states(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        fields = ["last_run", "run", "lease_until", "lease_owner"]
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=fields)
        return {one["_id"]: one for one in found}

    async def with_events_due(self, limit: int) -> list[Document]:
        query = {"events_due.event_id": {"$exists": True}}
        return await self._all.find(query, limit=limit, projection=["account_id", "events_due"])
