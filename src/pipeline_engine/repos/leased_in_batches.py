"""Claims of many documents together, for jobs that work for one account: three round trips however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.lease import LEASE_EXPIRED, RELEASED
from pipeline_engine.repos.leased import Leased

USUAL_IDS = (ObjectId, str, int)
"""Types of `_id` by which documents are looked up in a batch."""


class LeasedInBatches(Leased):
    """As `Leased`, also for many documents of one account at a time. Each claim of many has a `claim_id` of its own, so
    a write with the `claim_id` in its filter changes only what no other run has claimed since."""

    def batch_changes(self) -> Document:
        """Expressions that a claim of many sets besides the lease, over each document as it was."""
        return {}

    async def claim_many(
        self, account_id: ObjectId, query: Document, limit: int, sort: Sequence[tuple[str, int]] | None
    ) -> list[Document]:
        """Claim up to `limit` free documents that match, in three round trips; they are returned as they are now."""
        query = {"account_id": either(account_id), **query}
        free = {**query, "$and": [self.unclaimed, await self.available()]}
        ids = [one["_id"] for one in await self._own.find(free, limit=limit, sort=sort, projection=["_id"])]
        for id in ids:
            if not isinstance(id, USUAL_IDS):
                await self.set_aside(
                    id, f"_id is of the type {type(id).__name__}: insert the document under an ObjectId"
                )
        return await self._take(account_id, ids, {"$and": [query, self.unclaimed]}, {})

    async def seize(self, account_id: ObjectId, query: Document, values: Document) -> list[Document]:
        """Claim the documents that match though another run may hold them, and set values; what that run does with them
        then changes nothing. So a run is ended from outside: an exit, a cancellation, another entry of the lead."""
        query = {"account_id": either(account_id), **query}
        found = await self._own.find(query, projection=["_id"])
        return await self._take(account_id, [one["_id"] for one in found], query, values)

    async def _take(
        self, account_id: ObjectId, ids: Sequence[Any], query: Document, values: Document
    ) -> list[Document]:
        ids = [id for id in ids if isinstance(id, USUAL_IDS)]
        if not ids:
            return []
        claim_id = ObjectId()
        crashes = {"$add": [whole("$crashes"), {"$cond": [LEASE_EXPIRED, 1, 0]}]}
        literal = {name: {"$literal": value} for name, value in values.items()}
        own = {"claim_id": claim_id, "claimed_at": "$$NOW", "crashes": crashes, **self.batch_changes()}
        claim = self._lease.claim(**own, **literal)
        await self._own.update_many({"account_id": either(account_id), "_id": {"$in": list(ids)}, **query}, claim)
        mine = {"account_id": either(account_id), "_id": {"$in": list(ids)}, "claim_id": claim_id}
        by_id = {one["_id"]: one for one in await self._own.find(mine)}
        return [by_id[id] for id in ids if id in by_id]

    async def change_many(self, account_id: ObjectId, claim_id: Any, ids: Sequence[Any], values: Document) -> int:
        """Set values on those of the documents that this claim still holds. Returns how many these were."""
        mine = self._mine(account_id, claim_id, ids)
        return await self._own.update_many(mine, {"$set": values, "$currentDate": {"updatedAt": True}})

    async def release_many(
        self,
        account_id: ObjectId,
        claim_id: Any,
        ids: Sequence[Any],
        values: Document | None = None,
        *,
        crashes: int | None = 0,
    ) -> None:
        """Set values on those of the documents that this claim still holds, and release them. `crashes`: what counts
        from now on; None: as before."""
        counted = {} if crashes is None else {"crashes": crashes}
        await self.change_many(account_id, claim_id, ids, {**(values or {}), **RELEASED, "claim_id": None, **counted})

    async def still_held(self, account_id: ObjectId, claim_id: Any, ids: Sequence[Any]) -> set[Any]:
        """Those of the documents that this claim still holds."""
        found = await self._own.find(self._mine(account_id, claim_id, ids), projection=["_id"])
        return {one["_id"] for one in found}

    def _mine(self, account_id: ObjectId, claim_id: Any, ids: Sequence[Any]) -> Document:
        mine = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "claim_id": claim_id}
        return {**mine, **self.running}
