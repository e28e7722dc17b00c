"""Deal imports: the documents of `queues` with `source: 'deals'`, which hold the state of each import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    EVENTS_DUE_INDEX,
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    index,
    longer_ago,
)
from pipeline_engine.repos.expressions import account_key, ahead, whole
from pipeline_engine.repos.lease import RELEASED
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, listing, number, text

HOUR_SECONDS = 3600
OPEN = ("pending", "processing")
ENDED = ("completed", "failed", "cancelled")
UPLOADING = "uploading"
"""The status until the file is in the storage; no sweep finds such an import."""
RUNNING = "processing"
"""The status that a claim sets."""
SETTLED = ("rows_added", "rows_updated", "rows_skipped", "rows_failed")
PROGRESS = (
    *("bytes_read", "bytes_total"),
    *("rows_read", *SETTLED),
)
IS_OPEN: Document = {"source": "deals", "status": {"$in": OPEN}}
# An import rests between two attempts; one to cancel is due at once.
RESTED: Document = {"$or": [{"next_at": None}, {"cancel_requested": True}, {"$expr": {"$not": [ahead("$next_at")]}}]}

QUEUES = CollectionSpec(
    "queues",
    indexes=(
        index("source", "status", "lease_until"),
        LEASE_OWNER_INDEX,
        EVENTS_DUE_INDEX,
        index("account_id", "source", "createdAt"),
    ),
    lease=LeaseSpec(flag="in_progress"),
    wakes=(
        {"fullDocument.source": "deals", "fullDocument.status": "pending"},
        became("status", "pending")[1],
        became("cancel_requested", True)[1],
    ),
    stuck=(
        StuckQuestion(
            "uploads that began over a day ago and have not ended",
            {"source": "deals", "status": UPLOADING, **longer_ago("$createdAt", 24 * HOUR_SECONDS)},
        ),
        StuckQuestion(
            "imports that run for over an hour",
            {"source": "deals", "status": RUNNING, **longer_ago("$started_at", HOUR_SECONDS)},
        ),
    ),
    has_events_due=True,
    own={
        **dict.fromkeys(("lease_until", "updatedAt", "flag_seen_at", "next_at", "started_at", "completed_at"), date),
        **dict.fromkeys(("token", "attempts", "crashes", "generation", "rows_before"), number),
        **dict.fromkeys(("error", "error_csv_key", "lease_owner"), text),
        **dict.fromkeys(("progress", "plan", "dialect"), fields),
        **dict.fromkeys((f"progress.{name}" for name in PROGRESS), number),
        "events_due": listing,
    },
)


class Imports(Leased):
    spec = QUEUES
    due: ClassVar[Document] = {**IS_OPEN, "$and": [RESTED]}
    # The token stays when an import ends, so the status must also say that a run may write.
    running: ClassVar[Document] = {"status": RUNNING}

    def claim_changes(self) -> Document:
        """A claim of a `pending` import counts a new attempt; one after a hand-over or a crash goes on with the
        same."""
        is_new = {"$cond": [{"$eq": ["$status", "pending"]}, 1, 0]}
        attempts = {"$add": [whole("$attempts"), is_new]}
        started = {"$cond": [{"$eq": [{"$type": "$started_at"}, "date"]}, "$started_at", "$$NOW"]}
        return {"status": RUNNING, "started_at": started, "attempts": attempts, "next_at": "$$REMOVE"}

    async def find_due(self, limit: int) -> list[Document]:
        """At most `limit` imports, as `{_id, account_id}`, that a run should claim now; accounts take turns, oldest
        first."""
        await self.note_legacy_flags()
        turn = {"partitionBy": account_key(), "sortBy": {"_id": 1}, "output": {"turn": {"$documentNumber": {}}}}
        return await self._all.aggregate(
            {"$and": [self.claimable, await self.available()]},
            {"$project": {"account_id": 1}},
            {"$setWindowFields": turn},
            {"$sort": {"turn": 1, "_id": 1}},
            {"$limit": limit},
        )

    async def count_claimed(self) -> int:
        """How many open imports a run or an older engine is at work on."""
        return await self._all.count({**IS_OPEN, "$nor": [self.unclaimed]})

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Make the import `pending` again, due in `seconds`; a loss of Redis or of the process does not shorten
        that."""
        next_at = {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(seconds * 1000)}}
        await self.release(held, {"status": "pending", "error": error}, next_at=next_at)

    async def end(
        self, held: Mapping[str, Any], status: str, events_due: Sequence[Document], **changes: Any
    ) -> Document | None:
        """End an import in one update: its status, its figures (`changes`) and the events to publish.

        None when another run has ended or claimed it."""
        final = {"status": status, "in_progress": False, "crashes": 0, "events_due": list(events_due)}
        return await self.change(held, {**changes, **final, **RELEASED}, completed_at="$$NOW")

    async def submit(self, queue: Document) -> None:
        """Insert a new import."""
        await self._own.insert_one(queue)

    async def end_upload(
        self, account_id: ObjectId, import_id: ObjectId, status: str, error: str | None = None
    ) -> bool:
        """Set `pending`, or `failed` with the error, for an import whose upload is over.

        False when it is not uploading.
        """
        query = {"_id": import_id, "account_id": account_id, "status": UPLOADING}
        return await self._own.update_one(query, _upload_ended(status, error)) == 1

    async def fail_old_uploads(self, account_id: ObjectId, before: datetime, error: str) -> None:
        """Set `failed` for the account's imports whose upload began before that time and has not ended."""
        query = {"source": "deals", "status": UPLOADING, "account_id": account_id, "createdAt": {"$lt": before}}
        await self._own.update_many(query, _upload_ended("failed", error))

    async def get(self, import_id: ObjectId) -> Document | None:
        """The queue document; None when there is none, or when it is not an import of deals."""
        return await self._all.find_one({"_id": import_id, "source": "deals"})

    async def may_go_on(self, import_id: ObjectId, account_id: Any) -> bool:
        """Whether rows of this import may still be written. That is so also between two attempts at its file."""
        query = {"_id": import_id, "account_id": account_id, "status": {"$in": OPEN}, "cancel_requested": {"$ne": True}}
        return await self._own.find_one(query, projection=["_id"]) is not None

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        """At most `limit` imports of one account, or of all, the newest first."""
        query: Document = {"source": "deals"} | ({"account_id": either(account_id)} if account_id else {})
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def find_same_file(self, account_id: ObjectId, import_id: ObjectId, etag: str) -> ObjectId | None:
        """The latest completed import of the account but this one whose file has the ETag."""
        query = {"account_id": either(account_id), "source": "deals", "status": "completed", "plan.etag": etag}
        found = await self._own.find(
            {**query, "_id": {"$ne": import_id}}, limit=1, sort=[("createdAt", -1)], projection=["_id"]
        )
        return found[0]["_id"] if found else None

    async def request_cancel(self, import_id: ObjectId) -> Document | None:
        """Request the end of an import; the run that holds or next claims it ends it.

        None when it has ended already.
        """
        query = {"_id": import_id, "source": "deals", "status": {"$in": OPEN}}
        return await self._all.find_one_and_update(query, [{"$set": {"cancel_requested": True, "updatedAt": "$$NOW"}}])

    async def retry(self, import_id: ObjectId) -> Document | None:
        """Set `pending` for a failed or cancelled import; rows that are done stay done. None when it is neither.

        The field `reopen` makes the next run open the cancelled and failed chunks again. If this method did it, a run
        between the two updates could end the import without their rows.
        """
        query = {"_id": import_id, "source": "deals", "status": {"$in": ["failed", "cancelled"]}}
        fresh = {"status": "pending", "in_progress": False, "attempts": 0, "crashes": 0, "updatedAt": "$$NOW"}
        fresh["reopen"] = True
        # What was done before counts neither as time nor as speed of the new try.
        before: Document = {"$add": [whole(f"$progress.{name}") for name in SETTLED]}
        gone = ["error", "next_at", "started_at", "completed_at", "cancel_requested", "events_due", "error_csv_key"]
        # A new generation publishes events under new ids.
        generation = {"generation": {"$add": [whole("$generation"), 1]}}
        return await self._all.find_one_and_update(
            query, [{"$set": {**fresh, "rows_before": before, **generation, **RELEASED}}, {"$unset": gone}]
        )


def _upload_ended(status: str, error: str | None) -> list[Document]:
    reason = {"error": {"$literal": error}} if error else {}
    return [{"$set": {"status": status, "updatedAt": "$$NOW", **reason}}]
