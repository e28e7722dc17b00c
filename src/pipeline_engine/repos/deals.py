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
        """Insert what is not there yet. Returns {place in `deals`: why} for what the server refused; an `_id` that is
        taken is told as the empty text, for the caller to look at."""
        try:
            await self._own.insert_many(deals, ordered=False)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            return {error["index"]: _why(error) for error in failure.details["writeErrors"]}
        return {}

    async def origins(self, ids: Sequence[ObjectId]) -> dict[ObjectId, tuple[ObjectId | None, int | None]]:
        """{_id: (import_id, import_row)} of the deals with these ids, whosever they are."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=["import_id", "import_row"])
        return {deal["_id"]: (deal.get("import_id"), deal.get("import_row")) for deal in found}

    async def count(self, account_id: ObjectId, import_id: ObjectId, ids: Sequence[ObjectId]) -> int:
        """How many of these deals are there and come from the import."""
        return await self._own.count({"_id": {"$in": list(ids)}, "account_id": account_id, "import_id": import_id})


def _why(error: Document) -> str:
    if error["code"] != DUPLICATE_KEY:
        return str(error["errmsg"])
    if (fields := list(error.get("keyPattern", {"_id": 1}))) == ["_id"]:
        return ""
    # A unique index of the CRM's own. The server's message would quote the other deal.
    return f"another deal has the same {', '.join(fields)}"
