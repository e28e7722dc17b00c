"""Whether what a document points at belongs to its account. Where the CRM keeps no such document it is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.store import Store


class References:
    """Looks over all accounts on purpose: that is the question."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def account_is_active(self, account_id: ObjectId) -> bool:
        account = await self._all("_accounts").find_one({"_id": either(account_id)}, projection=["active"])
        return account is None or account.get("active", True) is not False

    async def foreign(self, collection: str, ids: Sequence[ObjectId], account_id: ObjectId) -> list[str]:
        """Those of the ids that exist under another account and not under this one."""
        wanted: Document = {"_id": {"$in": [*ids, *map(str, ids)]}}
        found = await self._all(collection).find(wanted, projection=["account_id", "account"])
        return sorted(str(one["_id"]) for one in found if not _belongs(one, account_id))

    def _all(self, collection: str) -> Collection:
        return self._store.collection(collection).everywhere


def _belongs(document: Document, account_id: ObjectId) -> bool:
    owners: list[Any] = [document[name] for name in ("account_id", "account") if document.get(name) is not None]
    return not owners or account_id in map(object_id, owners)
