"""Deal imports: the documents of `queues` with `source: 'deals'`. The truth of an import's state stands here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.lease import LEASE_EXPIRED, RELEASED, Lease, unclaimed

OPEN = ("pending", "processing")
UPLOADING = "uploading"
"""The status before the file is in the storage; no sweep takes it up."""
RUNNING = "processing"
"""What a claim makes of the status."""
UNCLAIMED: Document = unclaimed("in_progress")
DUE: Document = {"source": "deals", "status": {"$in": OPEN}, **UNCLAIMED}
HELD: Document = {"source": "deals", "status": {"$in": OPEN}, "$nor": [UNCLAIMED]}

# A new attempt starts from `pending`; going on after a hand-over or a crash is the same attempt.
ATTEMPTS: Document = {
    "$add": [{"$ifNull": ["$attempts", 0]}, {"$cond": [{"$eq": ["$status", "pending"]}, 1, 0]}],
}
CRASHES: Document = {"$add": [{"$ifNull": ["$crashes", 0]}, {"$cond": [LEASE_EXPIRED, 1, 0]}]}


class Imports:
    def __init__(self, collection: Collection, lease: Lease) -> None:
        self._all = collection.everywhere
        self._own = collection
        self._lease = lease

    async def due(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of imports that somebody should claim now, every account's oldest first."""
        await self._note_foreign_flags()
        turn = {"partitionBy": "$account_id", "sortBy": {"_id": 1}, "output": {"turn": {"$documentNumber": {}}}}
        return await self._all.aggregate(
            DUE,
            {"$project": {"account_id": 1}},
            {"$setWindowFields": turn},
            {"$sort": {"turn": 1, "_id": 1}},
            {"$limit": limit},
        )

    async def count_held(self) -> int:
        """How many open imports somebody is at work on."""
        return await self._all.count(HELD)

    async def _note_foreign_flags(self) -> None:
        query = {"source": "deals", "status": {"$in": OPEN}, "in_progress": True, "lease_until": None}
        unseen = {"updatedAt": None, "flag_seen_at": None}
        await self._all.update_many({**query, **unseen}, [{"$set": {"flag_seen_at": "$$NOW"}}])

    async def claim(self, import_id: ObjectId) -> Document | None:
        """Take the import for this process, or None when it is not due or somebody else's."""
        started = {"$ifNull": ["$started_at", "$$NOW"]}
        changes = {"status": RUNNING, "in_progress": True, "started_at": started}
        claim = self._lease.claim(**changes, attempts=ATTEMPTS, crashes=CRASHES)
        return await self._all.take({**DUE, "_id": import_id}, claim)

    async def change(self, held: Document, changes: Document) -> Document | None:
        """Set fields of an import that this run holds; None when the lease went to somebody else."""
        return await self._set(held, changes)

    async def release(self, held: Document, **changes: Any) -> None:
        """Let go of it for whoever claims it next."""
        await self._set(held, {**changes, **RELEASED, "in_progress": False})

    async def end(self, held: Document, status: str, events_due: Sequence[Document], **changes: Any) -> Document | None:
        """The one update that ends an import: its status, its figures and what has to be told of it."""
        final = {"status": status, "in_progress": False, "crashes": 0, "events_due": list(events_due)}
        return await self._set(held, {**changes, **final, **RELEASED}, completed_at="$$NOW")

    async def _set(self, held: Document, values: Document, **expressions: Any) -> Document | None:
        # An import that has ended is held no more, though its token stays.
        query = {"_id": held["_id"], "account_id": held.get("account_id"), "token": held["token"], "status": RUNNING}
        # A value may begin with "$"; only what is meant as an expression may be read as one.
        literal = {name: {"$literal": value} for name, value in values.items()}
        return await self._own.take(query, [{"$set": {**literal, **expressions, "updatedAt": "$$NOW"}}])

    async def submit(self, queue: Document) -> None:
        """Insert a new import."""
        await self._own.insert_one(queue)

    async def end_upload(
        self, account_id: ObjectId, import_id: ObjectId, status: str, error: str | None = None
    ) -> bool:
        """Make an import whose upload is over `pending`, or `failed` with the error. False: it is not uploading."""
        query = {"_id": import_id, "account_id": account_id, "status": UPLOADING}
        return await self._own.update_one(query, _upload_ended(status, error)) == 1

    async def fail_old_uploads(self, account_id: ObjectId, before: datetime, error: str) -> None:
        """Make the imports of this account failed whose upload began before that time and has not ended."""
        query = {"source": "deals", "status": UPLOADING, "account_id": account_id, "createdAt": {"$lt": before}}
        await self._own.update_many(query, _upload_ended("failed", error))

    async def get(self, import_id: ObjectId) -> Document | None:
        return await self._all.find_one({"_id": import_id, "source": "deals"})

    async def states(self, ids: Sequence[ObjectId]) -> dict[ObjectId, str]:
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=["status"])
        return {one["_id"]: one["status"] for one in found}

    async def may_go_on(self, import_id: ObjectId, account_id: Any) -> bool:
        """Whether rows of this import may still be written; also between two attempts at the rest of its file."""
        query = {"_id": import_id, "account_id": account_id, "status": {"$in": OPEN}, "cancel_requested": {"$ne": True}}
        return await self._own.find_one(query, projection=["_id"]) is not None

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        query: Document = {"source": "deals"} | ({"account_id": either(account_id)} if account_id else {})
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def request_cancel(self, import_id: ObjectId) -> Document | None:
        """Ask for the end; whoever runs or next claims the import ends it. None when it has ended already."""
        query = {"_id": import_id, "source": "deals", "status": {"$in": OPEN}}
        return await self._all.take(query, [{"$set": {"cancel_requested": True, "updatedAt": "$$NOW"}}])

    async def retry(self, import_id: ObjectId) -> Document | None:
        """Put a failed or cancelled import back to pending; rows that are done stay done.

        `reopen` tells whoever runs it to open its cancelled and failed chunks again: here they could not follow in the
        same step, and a run that came in between would end the import without their rows.
        """
        query = {"_id": import_id, "source": "deals", "status": {"$in": ["failed", "cancelled"]}}
        fresh = {"status": "pending", "in_progress": False, "attempts": 0, "crashes": 0, "updatedAt": "$$NOW"}
        fresh["reopen"] = True
        gone = ["error", "completed_at", "cancel_requested", "events_due", "error_csv_key"]
        # A new generation tells other events than the one that failed.
        generation = {"generation": {"$add": [{"$ifNull": ["$generation", 0]}, 1]}}
        return await self._all.take(query, [{"$set": {**fresh, **generation, **RELEASED}}, {"$unset": gone}])

    async def with_events_due(self, limit: int) -> list[Document]:
        query = {"events_due.event_id": {"$exists": True}}
        return await self._all.find(query, limit=limit, projection=["account_id", "events_due"])

    async def events_told(self, document: Document) -> None:
        """Forget the events that were due when `document` was read."""
        query = {"_id": document["_id"], "account_id": document["account_id"], "events_due": document["events_due"]}
        await self._own.update_one(query, {"$unset": {"events_due": ""}})


def _upload_ended(status: str, error: str | None) -> list[Document]:
    reason = {"error": {"$literal": error}} if error else {}
    return [{"$set": {"status": status, "updatedAt": "$$NOW", **reason}}]
