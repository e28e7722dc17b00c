"""The automations that are switched on, whether or not they may run at this moment. For people who ask."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store


class AutomationOutlook:
    def __init__(self, store: Store) -> None:
        self._all = store.collection("automations").everywhere

    async def switched_on(self, account_id: ObjectId | None) -> list[Document]:
        """Of one account, or of all; oldest first."""
        own = {"account_id": either(account_id)} if account_id else {}
        return await self._all.find({"status": "ACTIVE", "module": "DEAL", **own}, sort=[("_id", 1)])
