"""Documents (notes, reminders, tasks) that the engine writes for a deal or a lead, under ids that a repeated attempt
derives again."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.errors import BulkWriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.store import Store


class DerivedDocuments:
    def __init__(self, store: Store, collection: str, origin: Sequence[str] = ("automation", "deal_id")) -> None:
        """`origin`: the fields that say for what a document was written."""
        self.collection = collection
        self._own = store.collection(collection)
        self._origin = list(origin)

    async def insert(self, documents: Sequence[Document]) -> dict[int, str]:
        """Insert the documents that are missing.

        Returns {place in `documents`: why} of those that the server refused and of those whose id belongs to a document
        of another origin.
        """
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
        duplicates = [documents[place] for place, error in errors.items() if error["code"] == DUPLICATE_KEY]
        ours = await self._ours(duplicates)
        return {place: _why(error) for place, error in errors.items() if documents[place]["_id"] not in ours}

    async def _ours(self, duplicates: Sequence[Document]) -> set[ObjectId]:
        """The ids of those documents that an earlier attempt has written."""
        origins = {one["_id"]: self._origin_of(one) for one in duplicates}
        query = {"_id": {"$in": list(origins)}}
        found = await self._own.everywhere.find(query, projection=self._origin)
        return {one["_id"] for one in found if origins[one["_id"]] == self._origin_of(one)}

    def _origin_of(self, document: Document) -> list[object]:
        return [document.get(name) for name in self._origin]

    async def existing(self, account_id: ObjectId, automation_id: ObjectId, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the ids under which this automation has written a document."""
        query = {"_id": {"$in": list(ids)}, "account_id": account_id, "automation": automation_id}
        return {one["_id"] for one in await self._own.find(query, projection=["_id"])}


def _why(error: Document) -> str:
    # The server's message would quote the other document.
    return "its id is taken" if error["code"] == DUPLICATE_KEY else str(error["errmsg"])
