"""The fields that an account added to its deals. The engine only reads them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store


class CustomFields:
    """The documents of `custom_fields`: {account_id, name, type, options[]}."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection("custom_fields")

    async def declared(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> list[Document]:
        """`type` and `options` of those of the fields that the account declares."""
        query = {"account_id": either(account_id), "_id": {"$in": [*ids, *map(str, ids)]}}
        return await self._own.find(query, projection=["type", "options"])
