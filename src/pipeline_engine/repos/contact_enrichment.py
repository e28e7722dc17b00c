"""Contacts that are due for enrichment, and what a provider knows about them.

`enriched` holds the value that the engine last wrote into each field. A field that differs from it was edited by a
person and stays; so does a field that a person filled before the engine did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.errors import OperationFailure

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_score import RESCORE
from pipeline_engine.repos.contacts import CONTACTS
from pipeline_engine.repos.expressions import any_differs, fields_or_missing, set_where, with_item
from pipeline_engine.repos.quarantine import Quarantine, is_fault_of_document
from pipeline_engine.repos.store import Store

NO_DATE = ["string", "number", "bool", "object", "array"]


class ContactEnrichment:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(CONTACTS)
        self._quarantine = Quarantine(store)
        self._clock = store.clock

    async def find_due(self, account_id: ObjectId, before: datetime, limit: int) -> list[Document]:
        """`{_id, account_id, email}` of contacts with an address that were not enriched since `before`: those never
        enriched first, then the longest ago."""
        # Each branch is a range of the index, so that contacts that are not due are not read.
        long_ago = [{"enriched_at": None}, {"enriched_at": {"$lt": before}}, {"enriched_at": {"$type": NO_DATE}}]
        query: Document = {"account_id": either(account_id), "email": {"$type": "string", "$gt": ""}, "$or": long_ago}
        query |= await self._quarantine.others(CONTACTS.name)
        sort = [("enriched_at", 1)]
        return await self._own.find(query, limit=limit, sort=sort, projection=["account_id", "email"])

    async def count_asked(self, account_id: ObjectId, since: datetime) -> int:
        """How many contacts a provider was asked about since then."""
        return await self._own.count({"account_id": either(account_id), "enrichment_asked_at": {"$gte": since}})

    async def set_asked(self, contacts: Sequence[Document]) -> None:
        """Store, before a provider is asked, that it is: so a crash cannot make the account exceed its budget."""
        accounts = {"account_id": {"$in": [one["account_id"] for one in contacts]}}
        ids, change = (
            {"_id": {"$in": [one["_id"] for one in contacts]}},
            {"$currentDate": {"enrichment_asked_at": True}},
        )
        try:
            await self._own.update_many({**accounts, **ids}, change)
        except OperationFailure as error:
            if not is_fault_of_document(error):
                raise
            for contact in contacts:
                await self._change(contact, change)

    async def skip(self, contact: Document) -> None:
        """Let the contact rest until its next turn, as nothing is known about it."""
        await self._change(contact, [{"$set": {"enriched_at": "$$NOW", "updatedAt": "$$NOW"}}])

    async def enrich(self, contact: Document, known: Mapping[str, str], event: Document) -> Document | None:
        """Store what is known, score the contact again, and make `event` due when a field has changed.

        Returns the contact as it is then; None when it is gone, or has another address now.
        """
        may = {name: _may_write(name) for name in known}
        written = {
            name: {"$cond": [may[name], {"$literal": text}, f"$enriched.{name}"]} for name, text in known.items()
        }
        due = {"$cond": [any_differs(known, may), with_item("$events_due", event), "$events_due"]}
        update: list[Document] = [
            {"$set": {"enriched": fields_or_missing("$enriched")}},
            {
                "$set": {
                    **set_where(known, may),
                    "enriched": {"$mergeObjects": ["$enriched", written]},
                    "enriched_at": "$$NOW",
                    "updatedAt": "$$NOW",
                    "events_due": due,
                }
            },
            *RESCORE,
        ]
        return await self._change(contact, update)

    async def _change(self, contact: Document, update: Any) -> Document | None:
        """A contact that MongoDB cannot change is set aside, so that it takes no turn from others."""
        same = {name: {"$eq": contact[name]} for name in ("account_id", "email")}
        try:
            return await self._own.find_one_and_update({"_id": contact["_id"], **same}, update)
        except OperationFailure as error:
            if not is_fault_of_document(error):
                raise
            reason = str((error.details or {}).get("errmsg", error.code))
            await self._quarantine.add(CONTACTS.name, contact["_id"], f"cannot be enriched: {reason}")
            return None


def _may_write(name: str) -> Document:
    """Whether the engine may set the field: it is as the engine left it, or no person has filled or emptied it yet."""
    field, written = f"${name}", f"$enriched.{name}"
    is_blank = {"$or": [{"$in": [{"$type": field}, ["missing", "null", "undefined"]]}, {"$eq": [field, ""]}]}
    return {"$cond": [{"$ne": [{"$type": written}, "missing"]}, {"$eq": [field, written]}, is_blank]}
