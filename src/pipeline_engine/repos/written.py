"""Documents that an automation writes for a deal, under ids that a repeat makes again."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import BulkWriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection

DUPLICATE_KEY = 11000


class Written:
    def __init__(self, collection: Collection) -> None:
        self._own = collection

    async def insert(self, documents: Sequence[Document]) -> dict[int, str]:
        """Insert what is not there yet. Returns {place in `documents`: why} for what the server refused, or whose id is
        another document's."""
        if not documents:
            return {}
        try:
            await self._own.insert_many(documents, ordered=False)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            errors = {error["index"]: error for error in failure.details["writeErrors"]}
        else:
            return {}
        twins = [documents[place]["_id"] for place, error in errors.items() if error["code"] == DUPLICATE_KEY]
        found = await self._own.everywhere.find({"_id": {"$in": twins}}, projection=["automation", "deal_id"])
        ours = {one["_id"]: (one.get("automation"), one.get("deal_id")) for one in found}
        return {
            place: error["errmsg"]
            for place, error in errors.items()
            if ours.get(documents[place]["_id"]) != (documents[place]["automation"], documents[place]["deal_id"])
        }
