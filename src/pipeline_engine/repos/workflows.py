"""Workflows, which the CRM writes. The engine's fields: `error`, why a workflow cannot be used, and `checked_at`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED, changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

UNPAUSED: Document = {"updateDescription.removedFields": "paused"}
MAX_OF_ACCOUNT = 1000
"""Active workflows of one account that are read, the oldest."""

WORKFLOWS = CollectionSpec(
    "workflows",
    indexes=(index("account_id", "active"), index("active", "checked_at"), index("paused", sparse=True)),
    wakes=(INSERTED, changed("steps"), changed("trigger"), changed("active"), changed("paused"), UNPAUSED),
)
IS_PAUSED: Document = {"paused": {"$nin": [None, False]}}
UNCHECKED: Document = {
    "active": True,
    "$or": [{"checked_at": None}, {"updatedAt": {"$type": "date"}, "$expr": {"$gt": ["$updatedAt", "$checked_at"]}}],
}


class Workflows:
    """The definitions. What runs by them is in `workflow_enrollments`, each with a copy of its own."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(WORKFLOWS)
        self._all = self._own.everywhere

    async def active_of(self, account_id: ObjectId) -> list[Document]:
        """The account's active workflows, the oldest first."""
        query = {"account_id": either(account_id), "active": True}
        return await self._own.find(query, sort=[("_id", 1)], limit=MAX_OF_ACCOUNT)

    async def states(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """{id as text: `{_id, paused}`} of those of the workflows that exist."""
        query = {"account_id": either(account_id), "_id": {"$in": [form for id in ids for form in forms(id)]}}
        return {str(one["_id"]): one for one in await self._own.find(query, projection=["paused"])}

    async def paused_of(self, account_id: ObjectId) -> list[Document]:
        """`{_id, paused}` of the account's workflows that are paused."""
        return await self._own.find({"account_id": either(account_id), **IS_PAUSED}, projection=["paused"])

    async def paused_ids(self) -> list[Document]:
        """`{_id, account_id}` of the paused workflows of all accounts."""
        return await self._all.find(IS_PAUSED, projection=["account_id"])

    async def unchecked_accounts(self) -> list[Any]:
        """The accounts with active workflows that were not read since they were written."""
        found = await self._all.aggregate(UNCHECKED, {"$group": {"_id": "$account_id"}})
        return [one["_id"] for one in found]

    async def get(self, id: ObjectId) -> Document | None:
        """The workflow of any account."""
        return await self._all.find_one({"_id": either(id)})

    async def of_account(self, account_id: ObjectId, id: Any) -> Document | None:
        """The workflow, if it is the account's."""
        return await self._own.find_one({"_id": {"$in": forms(id)}, "account_id": either(account_id)})

    async def latest(self, limit: int, **where: Any) -> list[Document]:
        """The newest workflows of all accounts with these values."""
        query = {name: either(value) if isinstance(value, ObjectId) else value for name, value in where.items()}
        return await self._all.find(query, sort=[("_id", -1)], limit=limit)

    async def note_checked(self, workflow: Mapping[str, Any], error: str | None, now: datetime) -> None:
        """Store that the workflow was read, and what is wrong with it, unless it was changed since."""
        query = {**_identity(workflow), "updatedAt": workflow.get("updatedAt")}
        kept = {"$set": {"checked_at": now} | ({"error": error} if error else {})}
        await self._own.update_one(query, kept if error else {**kept, "$unset": {"error": ""}})

    async def pause(self, workflow: Mapping[str, Any], since: datetime) -> bool:
        """Pause it; False when it is paused already."""
        query = {**_identity(workflow), "paused": {"$in": [None, False]}}
        return await self._own.update_one(query, {"$set": {"paused": {"since": since}}}) == 1

    async def resume(self, workflow: Mapping[str, Any]) -> bool:
        """End its pause; False when it is not paused."""
        return await self._own.update_one({**_identity(workflow), **IS_PAUSED}, {"$unset": {"paused": ""}}) == 1


def forms(id: Any) -> list[Any]:
    """The id as ObjectId and as text, whichever of them the CRM stored."""
    if isinstance(id, ObjectId):
        return [id, str(id)]
    return [id, ObjectId(id)] if isinstance(id, str) and ObjectId.is_valid(id) else [id]


def _identity(workflow: Mapping[str, Any]) -> Document:
    return {"_id": workflow["_id"], "account_id": {"$eq": workflow.get("account_id")}}
