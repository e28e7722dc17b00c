"""The reports of imports (`csv_imports`), which the CRM shows."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

CSV_IMPORTS = CollectionSpec(
    "csv_imports",
    indexes=(index("queue_id"),),
)


class CsvImports:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(CSV_IMPORTS)

    async def write(
        self, account_id: ObjectId, import_id: ObjectId, logs: Sequence[Document], **fields: object
    ) -> None:
        """Write the import's one report; writing it again changes nothing but `updatedAt`."""
        key = {"_id": derived_id("csv_imports", import_id), "account_id": account_id}
        literal = {name: {"$literal": value} for name, value in {**fields, "logs": list(logs)}.items()}
        created = {"$ifNull": ["$createdAt", "$$NOW"]}
        report = {"queue_id": import_id, **literal, "createdAt": created, "updatedAt": "$$NOW"}
        await self._own.update_one(key, [{"$set": report}], upsert=True)

    async def of_import(self, account_id: ObjectId, import_id: ObjectId) -> Document | None:
        """The report; None before the import has ended."""
        return await self._own.find_one({"account_id": account_id, "queue_id": import_id})
