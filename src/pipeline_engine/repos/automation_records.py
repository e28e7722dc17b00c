"""Reads what is stored about automations, for the commands of operators. No sweep and no run reads through this."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.automations import ACTIVE, AUTOMATIONS
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.store import Store

MAX_RECORDS = 100
"""Documents of each kind that one question returns, the newest."""


class AutomationRecords:
    """The automations that are switched on, and what was written about one automation and one deal."""

    def __init__(self, store: Store) -> None:
        self._automations = store.collection(AUTOMATIONS).everywhere
        self._deals = store.collection("deals").everywhere
        self._logs = store.collection("automation_logs")
        self._units = store.collection("automation_units")
        self._effects = store.collection("effects")

    async def switched_on(self, account_id: ObjectId | None) -> list[Document]:
        """Active deal automations of one account, or of all, oldest first; also those that are paused or at rest."""
        own = {"account_id": either(account_id)} if account_id else {}
        return await self._automations.find({**ACTIVE, **own}, sort=[("_id", 1)])

    async def deal(self, deal_id: ObjectId) -> Document | None:
        """The deal of any account: that it belongs to another account may be the answer."""
        return await self._deals.find_one({"_id": deal_id})

    async def units(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Units of every generation that did not succeed at once."""
        return await self._of_units(self._units, account_id, automation_id, deal_id)

    async def effects(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Effects (e-mails, SMS, calls to the CRM's API) of every generation."""
        return await self._of_units(self._effects, account_id, automation_id, deal_id)

    async def _of_units(
        self, collection: Collection, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId
    ) -> list[Document]:
        # A unit's key begins with the two ids, so the index on _id answers.
        query = {"_id": {"$regex": f"^{automation_id}:{deal_id}:"}, "account_id": account_id}
        return await collection.find(query, limit=MAX_RECORDS, sort=[("_id", -1)])

    async def logs(self, account_id: ObjectId, automation_id: ObjectId, deal_id: ObjectId) -> list[Document]:
        """Logs that name the deal; of their entries in `success` and `failed`, only the deal's."""
        query = {"account_id": account_id, "automation": automation_id, "deals": deal_id}
        own = {"$elemMatch": {"deal": deal_id}}
        fields = {"createdAt": 1, "updatedAt": 1, "state": 1, "run_id": 1, "success": own, "failed": own}
        return await self._logs.find(query, limit=MAX_RECORDS, sort=[("createdAt", -1)], projection=fields)
