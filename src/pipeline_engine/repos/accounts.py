"""The accounts themselves."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection


class Accounts:
    def __init__(self, collection: Collection) -> None:
        self._all = collection.everywhere  # the account is the document itself

    async def get(self, account_id: ObjectId) -> Document:
        """The account's document; an empty one where the CRM keeps none."""
        return await self._all.find_one({"_id": either(account_id)}) or {}
