"""Sequences of e-mails, which the CRM writes. The engine only pauses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.workflows import IS_PAUSED, UNPAUSED, forms

SEQUENCES = CollectionSpec(
    "sequences",
    indexes=(index("account_id", "active"), index("active"), index("paused", sparse=True)),
    wakes=(changed("active"), changed("paused"), UNPAUSED),
)
RESTING: Document = {"$or": [{"active": {"$eq": False, "$not": {"$type": "array"}}}, IS_PAUSED]}
"""A filter for sequences that send nothing for now: they are not active, or paused."""


class Sequences:
    """The definitions. What is sent by them is in `workflow_enrollments`, each with a copy of the steps."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(SEQUENCES)
        self._all = self._own.everywhere

    async def of_account(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """{id as text: sequence} of those of them that are the account's."""
        query = {"account_id": either(account_id), "_id": {"$in": [form for id in ids for form in forms(id)]}}
        return {str(one["_id"]): one for one in await self._own.find(query)}

    async def resting_of(self, account_id: ObjectId) -> list[Any]:
        """The account's sequences that send nothing for now."""
        query = {"account_id": either(account_id), **RESTING}
        return [one["_id"] for one in await self._own.find(query, projection=["_id"])]

    async def resting(self) -> list[Any]:
        """The sequences of all accounts that send nothing for now."""
        return [one["_id"] for one in await self._all.find(RESTING, projection=["_id"])]
