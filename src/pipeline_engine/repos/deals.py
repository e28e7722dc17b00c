"""Deals, as far as an import writes them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.errors import BulkWriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection

DUPLICATE_KEY = 11000


class Deals:
    def __init__(self, collection: Collection) -> None:
        self._own = collection
        self._all = collection.everywhere

    async def insert(self, deals: Sequence[Document]) -> dict[int, str]:
        """Insert what is not there yet. Returns {place in `deals`: the server's message} for what it refused;
        a duplicate key is told as the empty message, for the caller to look at."""
        try:
            await self._own.insert_many(deals, ordered=False)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            errors = failure.details["writeErrors"]
            return {error["index"]: "" if error["code"] == DUPLICATE_KEY else error["errmsg"] for error in errors}
        return {}

    async def origins(self, ids: Sequence[ObjectId]) -> dict[ObjectId, tuple[ObjectId | None, int | None]]:
        """{_id: (import_id, import_row)} of the deals with these ids, whosever they are."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=["import_id", "import_row"])
        return {deal["_id"]: (deal.get("import_id"), deal.get("import_row")) for deal in found}
