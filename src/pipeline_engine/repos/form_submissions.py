"""Submissions of forms, and the contacts to which they belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import OperationFailure

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_facts import FORM_SUBMISSIONS
from pipeline_engine.repos.contact_score import RESCORE
from pipeline_engine.repos.contacts import CONTACTS
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.expressions import any_differs, set_where, with_item
from pipeline_engine.repos.quarantine import is_fault_of_document
from pipeline_engine.repos.store import Store


class FormSubmissions:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(FORM_SUBMISSIONS)
        self._contacts = store.collection(CONTACTS)

    async def add(self, submissions: Sequence[Document]) -> None:
        """Insert the submissions that are missing."""
        await self._own.insert_missing(submissions)

    async def find(self, account_id: ObjectId, ids: Iterable[ObjectId]) -> dict[ObjectId, Document]:
        """{id: submission} of those that exist."""
        found = await self._own.find({"account_id": account_id, "_id": {"$in": list(ids)}})
        return {one["_id"]: one for one in found}

    async def edit(self, account_id: ObjectId, id: ObjectId, data: Document, contact_id: ObjectId | None) -> None:
        """Store the data of a row that was edited; a contact that the submission has stays."""
        query = {"_id": id, "account_id": account_id}
        change = {"data": {"$literal": data}, "contact_id": {"$ifNull": ["$contact_id", contact_id]}}
        await self._own.update_one(query, [{"$set": {**change, "updatedAt": "$$NOW"}}])

    async def contacts(self, account_id: ObjectId, emails: Sequence[str]) -> dict[str, Document]:
        """{address in lower case: the account's oldest contact with it, in whatever case it is stored}"""
        query = {"account_id": either(account_id), "email": {"$in": list(emails)}}
        options: dict[str, Any] = {"collation": WITHOUT_CASE, "projection": ["account_id", "email"]}
        found = await self._contacts.find(query, sort=[("_id", -1)], **options)
        return {str(one["email"]).strip().lower(): one for one in found}

    async def add_contacts(self, contacts: Sequence[Document]) -> None:
        """Insert the contacts that are missing, with `events_due`, and score them."""
        await self._contacts.insert_missing(contacts)
        query = {"account_id": {"$in": [one["account_id"] for one in contacts]}}
        ids = {"_id": {"$in": [one["_id"] for one in contacts]}}
        await self._contacts.update_many({**query, **ids, "lead_score": None}, [*RESCORE])

    async def events_due(self, account_id: ObjectId, ids: Sequence[Any]) -> list[Document]:
        """Those of the contacts that have events to publish."""
        query = {"account_id": either(account_id), "_id": {"$in": list(ids)}, "events_due": {"$exists": True}}
        return await self._contacts.find(query, projection=["account_id", "events_due"])

    async def fill(
        self, contact: Mapping[str, Any], values: Mapping[str, str], before: Mapping[str, str], event: Document
    ) -> None:
        """Set those of the fields that are empty, or still as the row said `before` it was edited; `event` becomes due
        if that changes something. What a person wrote stays."""
        may = {name: _may_fill(name, before.get(name)) for name in values}
        changed = any_differs(values, may)
        due = {"$cond": [changed, with_item("$events_due", event), "$events_due"]}
        update: list[Document] = [
            {"$set": {**set_where(values, may), "updatedAt": "$$NOW", "events_due": due}},
            *RESCORE,
        ]
        query = {"_id": contact["_id"], "account_id": {"$eq": contact["account_id"]}}
        try:
            await self._contacts.update_one({**query, "$expr": changed}, update)
        except OperationFailure as error:
            if not is_fault_of_document(error):
                raise


def _may_fill(name: str, before: str | None) -> Document:
    is_blank = {"$or": [{"$in": [{"$type": f"${name}"}, ["missing", "null", "undefined"]]}, {"$eq": [f"${name}", ""]}]}
    return {"$or": [is_blank, {"$eq": [f"${name}", {"$literal": before}]}]} if before else is_blank
