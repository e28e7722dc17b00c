"""The report of an import, as the CRM shows it."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection


class CsvImports:
    def __init__(self, collection: Collection) -> None:
        self._own = collection

    async def write(
        self, account_id: ObjectId, import_id: ObjectId, logs: Sequence[Document], **fields: object
    ) -> None:
        """One report per import; writing it again changes nothing but `updatedAt`."""
        key = {"_id": derived_id("csv_imports", import_id), "account_id": account_id}
        literal = {name: {"$literal": value} for name, value in {**fields, "logs": list(logs)}.items()}
        created = {"$ifNull": ["$createdAt", "$$NOW"]}
        report = {"queue_id": import_id, **literal, "createdAt": created, "updatedAt": "$$NOW"}
        await self._own.update_one(key, [{"$set": report}], upsert=True)

    async def of_import(self, account_id: ObjectId, import_id: ObjectId) -> Document | None:
        return await self._own.find_one({"account_id": account_id, "queue_id": import_id})
