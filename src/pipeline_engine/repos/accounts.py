"""The accounts themselves."""

from __future__ import annotations

from collections.abc import Collection as Several

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.store import Store

ACCOUNTS = CollectionSpec("_accounts")


class Accounts:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(ACCOUNTS).everywhere  # the account is the document itself

    async def get(self, account_id: ObjectId) -> Document:
        """The account's document; an empty one where the CRM keeps none."""
        return await self._all.find_one({"_id": either(account_id)}) or {}

    async def visible(self, account_id: ObjectId, others: Several[ObjectId]) -> set[ObjectId]:
        """Those of the accounts whose property this one may see: itself, and those under the same parent account."""
        seen = {account_id} & set(others)
        if not (strangers := set(others) - seen):
            return seen
        parent = object_id((await self.get(account_id)).get("parent_account"))
        if parent is None:
            return seen
        siblings = {"_id": {"$in": [*strangers, *map(str, strangers)]}, "parent_account": either(parent)}
        return seen | {ObjectId(one["_id"]) for one in await self._all.find(siblings, projection=["_id"])}
