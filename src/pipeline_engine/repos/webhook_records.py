"""What webhooks need of other collections: the records that filters read, and the people who are notified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store


class WebhookRecords:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def by_id(self, account_id: ObjectId, collection: str, ids: Sequence[Any]) -> dict[str, Document]:
        """{id as text: document} of the account's documents."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        return {str(one["_id"]): one for one in await self._store.collection(collection).find(query)}

    async def events(self, account_id: ObjectId, ids: Sequence[str]) -> dict[str, Document]:
        """{id as text: event} of the account's CRM events."""
        return await self.by_id(account_id, "crm_events", [*ids, *(id for one in ids if (id := object_id(one)))])

    async def admins(self, account_id: ObjectId) -> list[ObjectId]:
        """The users who administer the account; all its active users where the CRM names no administrator."""
        query = {"account_id": either(account_id), "role": "admin", "active": {"$ne": False}}
        members = await self._store.collection("team_members").find(query, projection=["user_id"])
        if found := _ids([one.get("user_id") for one in members]):
            return found
        users = {"account": either(account_id), "active": True}
        return _ids([one["_id"] for one in await self._store.collection("users").everywhere.find(users)])


def _ids(values: Sequence[Any]) -> list[ObjectId]:
    return sorted({id for one in values if (id := object_id(one))})
