"""Automations: the documents of `automations` with `module: 'DEAL'`, and who runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.lease import LEASE_EXPIRED, RELEASED, Lease, unclaimed

UNCLAIMED: Document = unclaimed("is_running")
ACTIVE: Document = {"status": "ACTIVE", "module": "DEAL"}


def _over(field: str) -> Document:
    return {"$expr": {"$lte": [{"$ifNull": [f"${field}", "$$NOW"]}, "$$NOW"]}}


NOT_PAUSED = _over("paused_until")
RESTED = _over("next_at")
# What has begun is to be ended, also when the automation was switched off meanwhile.
BEGUN: Document = {"run.id": {"$exists": True}}
READY: Document = {**ACTIVE, **NOT_PAUSED}

CRASHES: Document = {"$add": [{"$ifNull": ["$crashes", 0]}, {"$cond": [LEASE_EXPIRED, 1, 0]}]}


class Automations:
    def __init__(self, collection: Collection, accounts: Collection, lease: Lease) -> None:
        self._all = collection.everywhere
        self._own = collection
        self._accounts = accounts.everywhere
        self._lease = lease

    async def ready(self) -> list[Document]:
        """Automations of active accounts that may run now, oldest first; whether a deal matches is another question.
        Those with a `run` have begun, and go on or are ended."""
        await self._note_foreign_flags()
        return await self._ready({})

    async def ready_in(self, stages: Iterable[Any]) -> list[Document]:
        """Those of some stages, given as ids or as strings."""
        ids = [one for stage in map(object_id, stages) if stage for one in (stage, str(stage))]
        return await self._ready({"stage_id": {"$in": ids}})

    async def _ready(self, where: Document) -> list[Document]:
        query = {**where, "$or": [READY, BEGUN], "$and": [UNCLAIMED, RESTED]}
        found = await self._all.find(query, sort=[("_id", 1)])
        active = await self._active_accounts([one.get("account_id") for one in found])
        return [one for one in found if one.get("run") or str(one.get("account_id")) in active]

    async def begun(self) -> list[Document]:
        """Automations whose run waits for the next slice, or lost its holder."""
        return await self._all.find({**BEGUN, "$and": [UNCLAIMED, RESTED]}, projection=["account_id", "type"])

    async def _note_foreign_flags(self) -> None:
        unseen = {"is_running": True, "lease_until": None, "updatedAt": None, "flag_seen_at": None}
        await self._all.update_many({**ACTIVE, **unseen}, [{"$set": {"flag_seen_at": "$$NOW"}}])

    async def _active_accounts(self, ids: Sequence[Any]) -> set[str]:
        known = {id for value in ids if (id := object_id(value))}
        query = {"_id": {"$in": [*known, *map(str, known)]}, "active": True}
        return {str(one["_id"]) for one in await self._accounts.find(query, projection=["_id"])}

    async def account_is_active(self, account_id: Any) -> bool:
        return bool(await self._active_accounts([account_id]))

    async def is_on(self, account_id: ObjectId, automation_id: ObjectId) -> bool:
        """Whether it is switched on, and its account too."""
        on = self._own.find_one({"_id": automation_id, "account_id": either(account_id), **ACTIVE}, projection=["_id"])
        found, is_active = await asyncio.gather(on, self.account_is_active(account_id))
        return found is not None and is_active

    async def siblings(self, account_id: ObjectId, stage_id: ObjectId) -> list[Document]:
        """The automations of a stage that are switched on and not paused."""
        query = {"account_id": either(account_id), "stage_id": either(stage_id)}
        return await self._own.find({**query, **READY})

    async def claim(self, automation_id: ObjectId) -> Document | None:
        """Take it for one slice, or None when it is not ready or somebody else's."""
        run = {"$ifNull": ["$run", {"$literal": {"id": str(ObjectId()), "told": False}}]}
        claim = self._lease.claim(is_running=True, run=run, crashes=CRASHES)
        return await self._all.take({"_id": automation_id, "$or": [READY, BEGUN], **UNCLAIMED}, claim)

    async def reread(self, held: Mapping[str, Any]) -> Document | None:
        """The automation as it is now; None when the lease went to somebody else."""
        return await self._own.find_one(_as_held(held))

    async def change(self, held: Mapping[str, Any], values: Mapping[str, Any]) -> Document | None:
        """Set fields of an automation that this run holds; None when the lease went to somebody else."""
        literal = {name: {"$literal": value} for name, value in values.items()}
        return await self._own.take(_as_held(held), [{"$set": {**literal, "updatedAt": "$$NOW"}}])

    async def release(self, held: Mapping[str, Any], values: Mapping[str, Any]) -> Document | None:
        """Let go of it; the run goes on with the next slice, or has ended when `values` clear `run`."""
        return await self.change(held, {**values, **RELEASED, "is_running": False})

    async def keep_watermark(self, seen: Mapping[str, Any], mark: Mapping[str, Any]) -> None:
        """After a look at an automation that nobody held; unless somebody has had it since."""
        query = {"_id": seen["_id"], "account_id": seen.get("account_id"), "token": seen.get("token")}
        await self._own.update_one({**query, **UNCLAIMED}, {"$set": {"watermark": mark}})

    async def get(self, automation_id: ObjectId) -> Document | None:
        return await self._all.find_one({"_id": automation_id})

    async def states(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=["run", "paused_until", "brake"])
        return {one["_id"]: one for one in found}


def _as_held(held: Mapping[str, Any]) -> Document:
    return {"_id": held["_id"], "account_id": held.get("account_id"), "token": held["token"]}
