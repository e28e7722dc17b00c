"""Documents that the engine has set aside, because they cannot be claimed, decoded or ended.

Sweeps leave them out until an operator releases them, so that they take no place from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import OperationFailure, PyMongoError

from pipeline_engine import logs
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.changes import INSERTED, changed
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

MAX_LEFT_OUT = 10_000
"""Documents of one collection that a sweep leaves out; their ids are part of its query."""
MAX_REASON_CHARS = 1000
NO_ACCOUNT = "account_id is missing, or is no id"
# Codes of refusals that say nothing about the document: missing rights, limits of time and space, locks, the cluster.
GENERAL_REFUSALS = frozenset({8, 13, 18, 24, 26, 50, 59, 64, 79, 91, 100, 112, 125, 146, 189, 202, 251, 262, 292, 323})
GENERAL_REFUSAL_CODES = GENERAL_REFUSALS | {8000, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 14031}

QUARANTINE = CollectionSpec("quarantine", indexes=(index("collection"),), wakes=(INSERTED, changed("released_at")))

log = logs.get(__name__)


def is_fault_of_document(error: BaseException) -> bool:
    """Whether MongoDB refused a command because of what stands in the document."""
    if not isinstance(error, OperationFailure) or is_away(error):
        return False
    return error.code not in GENERAL_REFUSAL_CODES


class Quarantine:
    """One entry per document: {collection, document_id, account_id?, reason, first_seen, last_seen, count}."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._all = store.collection(QUARANTINE).everywhere

    async def add(self, collection: str, document_id: Any, reason: str) -> bool:
        """Set the document aside. Returns whether it was not there yet; else its count grows by one."""
        id = entry_id(collection, document_id)
        now = {"last_seen": "$$NOW", "first_seen": {"$ifNull": ["$first_seen", "$$NOW"]}}
        about = {"collection": collection, "document_id": document_id, "reason": logs.clean(reason)[:MAX_REASON_CHARS]}
        about |= await self._account_of(collection, document_id)
        values = {name: {"$literal": value} for name, value in about.items()}
        count = {"count": {"$add": [{"$ifNull": ["$count", 0]}, 1]}}
        is_new = not await self._all.update_one({"_id": id}, [{"$set": {**values, **now, **count}}], upsert=True)
        self.forget()
        if is_new:
            log.error("document.quarantined", quarantine_id=str(id), collection=collection, id=str(document_id)[:100])
        return is_new

    async def _account_of(self, collection: str, document_id: Any) -> Document:
        try:
            found = await self._store.database[collection].find_one({"_id": document_id}, projection=["account_id"])
        except PyMongoError as error:
            if is_away(error):
                raise
            return {}  # what cannot be read is set aside all the same
        account_id = (found or {}).get("account_id")
        return {"account_id": account_id} if isinstance(account_id, ObjectId | str) else {}

    async def others(self, collection: str) -> Document:
        """A filter for the documents of the collection that are not set aside."""
        ids = self._store.aside.ids(collection)
        if ids is None:
            ids = await self._read(collection)
        return {"_id": {"$nin": ids}} if ids else {}

    async def _read(self, collection: str) -> Sequence[Any]:
        changes = self._store.aside.changes
        query = {"collection": collection, "released_at": None}
        found = await self._all.find(query, limit=MAX_LEFT_OUT, projection=["document_id"])
        ids = [one["document_id"] for one in found]
        self._store.aside.keep(collection, ids, changes)
        return ids

    def forget(self) -> None:
        """Have this process read again what is set aside: another one may have changed it."""
        self._store.aside.forget()

    async def is_aside(self, collection: str, document_id: Any) -> bool:
        """Whether the document is set aside."""
        entry = await self.get(entry_id(collection, document_id))
        return entry is not None and entry.get("released_at") is None

    async def latest(self, limit: int) -> Sequence[Document]:
        """At most `limit` entries, the last seen first."""
        return await self._all.find({}, limit=limit, sort=[("last_seen", -1)])

    async def count(self) -> int:
        return await self._all.count({})

    async def get(self, id: ObjectId) -> Document | None:
        return await self._all.find_one({"_id": id})

    async def release(self, id: ObjectId) -> None:
        """Remove the entry, so that the sweeps, which this wakes, find its document again."""
        await self._all.update_one({"_id": id}, [{"$set": {"released_at": "$$NOW"}}])
        await self._all.delete({"_id": id})
        self.forget()


def entry_id(collection: str, document_id: Any) -> ObjectId:
    """The `_id` of a document's entry: the same whichever process sets it aside."""
    return derived_id("quarantine", collection, type(document_id).__name__, document_id)
