"""What webhooks need of other collections: the records that filters read, and the people who are notified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store

MAX_EVENT_BYTES = 256 * 1024
"""A larger event is not sent as a whole in any case."""
IDS = [f"{kind}{suffix}" for kind in ("contact", "deal", "lead") for suffix in ("_id", "Id")]
IS_LARGE: Document = {"$gt": [{"$bsonSize": "$$ROOT"}, MAX_EVENT_BYTES]}
EVENT_FIELDS: Document = {
    "type": 1,
    "account_id": 1,
    "occurred_at": 1,
    "ended_at": 1,
    "data": {"$cond": [IS_LARGE, {name: f"$data.{name}" for name in IDS}, "$data"]},
    "large": IS_LARGE,
}


class WebhookRecords:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def by_id(self, account_id: ObjectId, collection: str, ids: Sequence[Any]) -> dict[str, Document]:
        """{id as text: document} of the account's documents."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        return {str(one["_id"]): one for one in await self._store.collection(collection).find(query)}

    async def events(self, account_id: ObjectId, ids: Sequence[str]) -> dict[str, Document]:
        """{id as text: event} of the account's CRM events. The `data` of one that is `large` holds ids only, so that a
        batch of them takes no memory."""
        spellings = [*ids, *(id for one in ids if (id := object_id(one)))]
        query = {"_id": {"$in": spellings}, "account_id": either(account_id)}
        found = await self._store.collection("crm_events").aggregate(query, {"$project": EVENT_FIELDS})
        return {str(one["_id"]): one for one in found}

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
