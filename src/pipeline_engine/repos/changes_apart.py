"""Changes of many documents at once: one that cannot be changed is set aside, and keeps no other from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, WriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection, Query
from pipeline_engine.repos.quarantine import Quarantine, is_fault_of_document


class ChangesApart:
    """Every filter contains `account_id` where the collection wants it."""

    def __init__(self, own: Collection, quarantine: Quarantine) -> None:
        self._own, self._quarantine = own, quarantine

    async def update(self, query: Query, update: list[Document]) -> int:
        """As `update_many`. Returns how many documents matched."""
        try:
            return await self._own.update_many(query, update)
        except WriteError as error:
            if not is_fault_of_document(error):
                raise
        matching = {**query, "$and": [*query.get("$and", ()), await self._quarantine.others(self._own.raw.name)]}
        found = await self._own.find(matching, projection=["_id"])
        return sum([await self._update_one(query, one["_id"], update) for one in found])

    async def _update_one(self, query: Query, id: Any, update: list[Document]) -> int:
        try:
            return await self._own.update_one({**query, "$and": [*query.get("$and", ()), {"_id": id}]}, update)
        except WriteError as error:
            if not is_fault_of_document(error):
                raise
            await self._set_aside(id, (error.details or {}).get("errmsg"))
            return 0

    async def bulk(self, writes: Sequence[tuple[Any, UpdateOne]]) -> None:
        """Apply (id of the document, its update) in one round trip."""
        try:
            await self._own.bulk([write for _, write in writes])
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            for error in failure.details["writeErrors"]:
                await self._set_aside(writes[error["index"]][0], error.get("errmsg"))
        except DocumentTooLarge as error:
            if len(writes) == 1:
                return await self._set_aside(writes[0][0], error)
            for one in writes:
                await self.bulk([one])

    async def _set_aside(self, id: Any, why: object) -> None:
        await self._quarantine.add(self._own.raw.name, id, f"cannot be changed: {why}")
