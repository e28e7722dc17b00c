"""What was written about one automation and one deal. For people who ask; no sweep and no run reads this."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.store import Store

MOST = 100
"""Documents of each kind, the newest."""


class AutomationHistory:
    def __init__(self, store: Store) -> None:
        self._deals = store.collection("deals").everywhere
        self._logs = store.collection("automation_logs")
        self._units = store.collection("automation_units")
        self._effects = store.collection("effects")

    async def deal(self, deal_id: ObjectId) -> Document | None:
        """The deal, whosever it is: that it belongs to another account may be the answer."""
        return await self._deals.find_one({"_id": deal_id})

    async def units(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Units of every generation that did not succeed at once."""
        return await self._of_units(self._units, account_id, automation_id, deal_id)

    async def effects(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Records of what left the house, of every generation."""
        return await self._of_units(self._effects, account_id, automation_id, deal_id)

    async def _of_units(
        self, collection: Collection, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId
    ) -> list[Document]:
        # A unit's key begins with the two ids, so the index on _id answers.
        query = {"_id": {"$regex": f"^{automation_id}:{deal_id}:"}, "account_id": account_id}
        return await collection.find(query, limit=MOST, sort=[("_id", -1)])

    async def logs(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Logs that name the deal, with its own entries of `success` and `failed` only."""
        query = {"account_id": account_id, "automation": automation_id, "deals": deal_id}
        own = {"$elemMatch": {"deal": deal_id}}
        fields = {"createdAt": 1, "updatedAt": 1, "state": 1, "run_id": 1, "success": own, "failed": own}
        return await self._logs.find(query, limit=MOST, sort=[("createdAt", -1)], projection=fields)
