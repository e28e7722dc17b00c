"""Workflows, which the CRM writes. The engine's fields: `error`, why a workflow cannot be used, and `checked_at`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import DBRef, ObjectId, Regex

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED, changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.expressions import id_or_none, past
from pipeline_engine.repos.quarantine import Quarantine
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.too_large import TooLarge, sized

UNPAUSED: Document = {"updateDescription.removedFields": "paused"}
MAX_OF_ACCOUNT = 1000
"""So many active workflows of one account are used, the oldest."""

WORKFLOWS = CollectionSpec(
    "workflows",
    indexes=(index("account_id", "active"), index("active", "checked_at"), index("paused", sparse=True)),
    wakes=(INSERTED, changed("steps"), changed("trigger"), changed("active"), changed("paused"), UNPAUSED),
)
NO_PAUSE = (None, False, 0, "")
"""What stands in `paused` where there is no pause; anything else is one, a list of nothing as well."""
PAUSED: Document = {"$not": [{"$in": [{"$ifNull": ["$paused", None]}, list(NO_PAUSE)]}]}
IS_PAUSED: Document = {"paused": {"$exists": True}, "$expr": PAUSED}
WRITTEN_SINCE: Document = {"$and": [past("$updatedAt"), {"$gt": ["$updatedAt", "$checked_at"]}]}
UNCHECKED: Document = {"active": True, "$expr": {"$or": [{"$not": [past("$checked_at")]}, WRITTEN_SINCE]}}
"""A filter. A workflow that claims to be written in the future counts as written when that time has come."""


class Workflows:
    """The definitions. What runs by them is in `workflow_enrollments`, each with a copy of its own."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(WORKFLOWS)
        self._all = self._own.everywhere
        self._quarantine = Quarantine(store)

    async def active_of(self, account_id: ObjectId) -> list[Document]:
        """The account's active workflows, the oldest first, without those that are set aside."""
        query = {"account_id": either(account_id), "active": True, **await self._available()}
        return await self._own.find(query, sort=[("_id", 1)], limit=MAX_OF_ACCOUNT)

    async def younger_than(self, last: Document, account_id: ObjectId, error: str, limit: int) -> list[Document]:
        """Active workflows of the account behind `last` that do not say this error yet, or were written since."""
        query = {"account_id": either(account_id), "active": True, "_id": {"$gt": last["_id"]}}
        query |= {"$or": [{"error": {"$ne": error}}, UNCHECKED], "$and": [await self._available()]}
        return await self._own.find(query, sort=[("_id", 1)], limit=limit, projection=["account_id", "updatedAt"])

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
        query = {**UNCHECKED, **await self._available()}
        found = await self._all.aggregate(query, {"$group": {"_id": id_or_none("$account_id")}})
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

    async def unchecked_of(self, account_id: ObjectId) -> set[Any]:
        """The ids, as text, of the account's workflows that were not read since they were written."""
        query = {"account_id": either(account_id), **UNCHECKED}
        return {str(one["_id"]) for one in await self._own.find(query, projection=["_id"])}

    async def note_checked(self, workflow: Mapping[str, Any], error: str | None) -> None:
        """Store that the workflow was read, and what is wrong with it, unless it was changed since. One that cannot be
        changed is set aside."""
        query = {**_identity(workflow), "updatedAt": {"$eq": workflow.get("updatedAt")}}
        change: Document = {"$set": {"error": error}} if error else {"$unset": {"error": ""}}
        try:
            with sized(WORKFLOWS.name, workflow["_id"]):
                await self._own.update_one(query, {**change, "$currentDate": {"checked_at": True}})
        except TooLarge as refusal:
            await self._quarantine.add(WORKFLOWS.name, workflow["_id"], str(refusal))

    async def pause(self, workflow: Mapping[str, Any], since: datetime) -> bool:
        """Pause it; False when it is paused already."""
        query = {**_identity(workflow), "$expr": {"$not": [PAUSED]}}
        return await self._own.update_one(query, {"$set": {"paused": {"since": since}}}) == 1

    async def resume(self, workflow: Mapping[str, Any]) -> bool:
        """End its pause; False when it is not paused."""
        return await self._own.update_one({**_identity(workflow), **IS_PAUSED}, {"$unset": {"paused": ""}}) == 1

    async def _available(self) -> Document:
        return await self._quarantine.others(WORKFLOWS.name)


def forms(id: Any) -> list[Any]:
    """The id as ObjectId and as text, whichever of them the CRM stored. What is no id has no form: in a list of `$in`,
    MongoDB reads an object as operators and a regular expression as a pattern."""
    if isinstance(id, Mapping | DBRef | Regex):
        return []
    if isinstance(id, ObjectId):
        return [id, str(id)]
    return [id, ObjectId(id)] if isinstance(id, str) and ObjectId.is_valid(id) else [id]


def is_paused(document: Mapping[str, Any]) -> bool:
    """Whether a workflow or sequence is paused, as `IS_PAUSED` says it."""
    return document.get("paused") not in NO_PAUSE


def _identity(workflow: Mapping[str, Any]) -> Document:
    return {"_id": workflow["_id"], "account_id": {"$eq": workflow.get("account_id")}}
