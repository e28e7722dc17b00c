"""Contacts of the CRM, as far as events change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import WriteError

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EVENTS_DUE_INDEX, CollectionSpec, having, index
from pipeline_engine.repos.contact_score import RESCORE
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.quarantine import is_fault_of_document
from pipeline_engine.repos.store import Store

CONTACTS = CollectionSpec(
    "contacts",
    indexes=(
        EVENTS_DUE_INDEX,
        index("account_id", "enriched_at"),
        index("account_id", "enrichment_asked_at", **having("enrichment_asked_at")),
        index("account_id", "email", collation=WITHOUT_CASE),
        index("phone", "account_id", **having("phone")),
        index("account_id", "company", **having("company")),
        index("account_id", "createdAt"),
        index("account_id", "lifecycle_stage", "_id"),
        index("account_id", "status", "_id"),
        index("account_id", "lifecycle_due.at", **having("lifecycle_due.at")),
        index("account_id", "recycling_due.at", **having("recycling_due.at")),
    ),
    has_events_due=True,
)


class Contacts:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(CONTACTS)

    async def find(self, account_id: ObjectId, ids: Sequence[ObjectId], *fields: str) -> dict[ObjectId, Document]:
        """{id: contact} of those that exist, with these fields or all."""
        found = await self._own.find(_of(account_id, ids), projection=list(fields) or None)
        return {ObjectId(one["_id"]): one for one in found}

    async def rescore(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> Mapping[ObjectId, str]:
        """Set lead score and grade by what stands in the contacts now. Returns {id: reason} of those that the server
        refuses to change."""
        try:
            await self._own.update_many(_of(account_id, ids), [{"$set": {"updatedAt": "$$NOW"}}, *RESCORE])
        except WriteError as error:
            if not is_fault_of_document(error):
                raise
            if len(ids) == 1:
                return {ids[0]: str((error.details or {}).get("errmsg"))}
            middle = len(ids) // 2
            first = await self.rescore(account_id, ids[:middle])
            return {**first, **await self.rescore(account_id, ids[middle:])}
        return {}

    async def set_owners(self, account_id: ObjectId, owners: Mapping[ObjectId, Any]) -> set[ObjectId]:
        """Give those of the contacts an owner that have none. Returns those that the server refuses to change."""
        writes = [
            UpdateOne(
                {"_id": either(id), "account_id": either(account_id), "owner": {"$in": [None, ""]}},
                {"$set": {"owner": owner}, "$currentDate": {"updatedAt": True}},
            )
            for id, owner in owners.items()
        ]
        return {[*owners][place] for place in await self._own.bulk_refusals(writes)}

    async def set_intent(self, account_id: ObjectId, id: ObjectId, score: float, level: str, event: Document) -> None:
        """Set the intent score and what follows from it. When the level is another one now, `event` becomes due in the
        same update: an entry of `events_due` to which the level before is added as `data.from`."""
        update = intent_update(score, level, event)
        await self._own.update_one({"_id": either(id), "account_id": either(account_id)}, update)


def intent_update(score: float, level: str, event: Document | None, unknown: str = "low") -> list[Document]:
    """The update of `Contacts.set_intent`; `event` is None when the level is known to stay. `unknown`: the level before
    of a contact that holds none."""
    scored: Document = {"intent_score": score, "intent_level": level, "updatedAt": "$$NOW"}
    if event:
        before = {"$ifNull": ["$intent_level", unknown]}
        due = {**literal(event), "data": {**literal(event["data"]), "from": before}}
        scored["events_due"] = {"$cond": [{"$eq": [before, level]}, "$events_due", with_event(due)]}
    return [{"$set": scored}, *RESCORE]


def literal(values: Mapping[str, Any]) -> Document:
    """The values as expressions: none is read as a field or an operator."""
    return {name: {"$literal": value} for name, value in values.items()}


def with_event(event: Document) -> Document:
    """`events_due` with one more entry, as an expression; `event` is one too."""
    known = {"$cond": [{"$isArray": "$events_due"}, "$events_due", []]}
    return {"$concatArrays": [known, [event]]}


def _of(account_id: ObjectId, ids: Sequence[ObjectId]) -> Document:
    return {"_id": {"$in": [*ids, *map(str, ids)]}, "account_id": either(account_id)}
