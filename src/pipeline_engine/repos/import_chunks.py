"""Chunks of imports: one document per chunk of rows. The totals of an import are the sums over its chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId
from pymongo.errors import BulkWriteError

from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.collection_spec import (
    EXPIRY_INDEX,
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    index,
    longer_ago,
)
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.lease import FREE, LEASE_EXPIRED, RELEASED
from pipeline_engine.repos.leased import Leased

HOUR_SECONDS = 3600
FIGURES = ("created", "updated", "skipped", "failed")


def chunk_id(import_id: ObjectId, n: int) -> str:
    """The `_id` of the import's chunk number `n`."""
    return f"{import_id}:{n}"


IMPORT_CHUNKS = CollectionSpec(
    "import_chunks",
    indexes=(
        index("queue_id", "n", unique=True),
        index("state", "lease_until"),
        index("queue_id", "state"),
        LEASE_OWNER_INDEX,
        EXPIRY_INDEX,
    ),
    lease=LeaseSpec(),
    wakes=(became("state", "done")[1],),
    stuck=(
        StuckQuestion(
            "chunks held for over an hour",
            {"state": "open", "lease_until": {"$type": "date"}, **longer_ago("$updatedAt", HOUR_SECONDS)},
        ),
    ),
)


class ImportChunks(Leased):
    spec = IMPORT_CHUNKS
    due: ClassVar[Document] = {"state": "open"}
    running: ClassVar[Document] = {"state": "open"}

    def claim_changes(self) -> Document:
        """`attempts` counts this attempt and those that failed; one that a crash ended did not fail."""
        return {"attempts": {"$add": [whole("$attempts"), {"$cond": [LEASE_EXPIRED, 0, 1]}]}}

    async def add(self, chunks: Sequence[Document]) -> bool:
        """Insert new open chunks. False when another run of the import has already inserted one of them."""
        try:
            await self._own.insert_many(chunks)
        except BulkWriteError as failure:
            if any(error["code"] != DUPLICATE_KEY for error in failure.details["writeErrors"]):
                raise
            return False
        return True

    async def find_last(self, account_id: ObjectId, import_id: ObjectId) -> Document | None:
        """The chunk with the highest number; None before the first was cut."""
        query = {"account_id": account_id, "queue_id": import_id}
        found = await self._own.find(query, limit=1, sort=[("n", -1)], projection={"errors": 0})
        return found[0] if found else None

    async def find_last_settled(self, account_id: ObjectId, import_id: ObjectId, endless: str) -> Document | None:
        """The last of the chunks from the first one on that are all done and not of the kind `endless`."""
        every: Document = {"account_id": account_id, "queue_id": import_id}
        broken = {**every, "$or": [{"state": {"$ne": "done"}}, {"kind": endless}]}
        first = await self._own.find(broken, limit=1, sort=[("n", 1)], projection=["n"])
        before = {**every, "n": {"$lt": first[0]["n"]}} if first else every
        found = await self._own.find(before, limit=1, sort=[("n", -1)], projection={"errors": 0})
        return found[0] if found else None

    async def drop_after(self, account_id: ObjectId, import_id: ObjectId, n: int, etag: str) -> None:
        """Delete the chunks behind number `n` that were cut out of another version of the file."""
        query = {"account_id": account_id, "queue_id": import_id, "n": {"$gt": n}, "etag": {"$ne": etag}}
        await self._own.delete(query)

    async def count_open(self, account_id: ObjectId, import_id: ObjectId) -> int:
        """How many chunks have not ended, claimed or not. One that is set aside does not count, as no run can end
        it."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open"}
        return await self._own.count({**query, **await self.available()})

    async def open_ids(self, account_id: ObjectId, import_id: ObjectId) -> list[str]:
        """The ids of open chunks that no run holds and that are not set aside, in file order."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open", **FREE, **await self.available()}
        return [chunk["_id"] for chunk in await self._own.find(query, sort=[("n", 1)], projection=["_id"])]

    async def state_counts(self, account_id: ObjectId, import_id: ObjectId) -> list[Document]:
        """{_id: state, chunks, rows} for each state there is."""
        group = {"_id": "$state", "chunks": {"$sum": 1}, "rows": {"$sum": "$rows"}}
        query = {"account_id": account_id, "queue_id": import_id}
        return await self._own.aggregate(query, {"$group": group}, {"$sort": {"_id": 1}})

    async def find_started(self, account_id: ObjectId, import_id: ObjectId, limit: int) -> list[Document]:
        """Open chunks that a run has claimed, whether or not it still holds them; in file order."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open", "token": {"$gt": 0}}
        return await self._own.find(query, limit=limit, sort=[("n", 1)], projection={"errors": 0})

    async def find_first_failed(self, account_id: ObjectId, import_id: ObjectId) -> Document | None:
        """`first_row` and `error` of the first failed chunk in the file; None when none has failed."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "failed"}
        found = await self._own.find(query, limit=1, sort=[("n", 1)], projection=["first_row", "error"])
        return found[0] if found else None

    async def find_first_open(self, account_id: ObjectId, import_id: ObjectId) -> Document | None:
        """`first_row` and `rows` of the first open chunk in the file, set aside or not; None when all have ended."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open"}
        found = await self._own.find(query, limit=1, sort=[("n", 1)], projection=["first_row", "rows"])
        return found[0] if found else None

    async def end(self, held: Mapping[str, Any], state: str, **result: Any) -> bool:
        """End the chunk in this state with the results of its rows; False when another run has claimed it."""
        return await self.write(held, {**result, **RELEASED, "state": state})

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the chunk, still open, for another attempt."""
        await self.write(held, {**RELEASED, "error": error})

    async def cancel_untouched(self, account_id: ObjectId, import_id: ObjectId) -> None:
        """Close the chunks that no run has ever claimed and that are not set aside."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open", "token": None}
        await self._own.update_many(
            {**query, **await self.available()}, [{"$set": {"state": "cancelled", "updatedAt": "$$NOW"}}]
        )

    async def reopen(self, account_id: ObjectId, import_id: ObjectId, *states: str) -> int:
        """Open the chunks in these states again, with all attempts before them, and let no chunk of the import expire.

        Returns how many were opened."""
        every = {"account_id": account_id, "queue_id": import_id}
        await self._own.update_many({**every, "expires_at": {"$exists": True}}, {"$unset": {"expires_at": ""}})
        fresh = {"$set": {"state": "open", "crashes": 0, "attempts": 0}}
        return await self._own.update_many({**every, "state": {"$in": list(states)}}, fresh)

    async def totals(self, account_id: ObjectId, import_id: ObjectId) -> dict[str, int]:
        """Sums of created, updated, skipped and failed over the chunks that have ended, in whatever state."""
        sums: Document = {name: {"$sum": f"${name}"} for name in FIGURES}
        query = {"account_id": account_id, "queue_id": import_id, "state": {"$ne": "open"}}
        found = await self._own.aggregate(query, {"$group": {"_id": None, **sums}})
        return {name: found[0][name] if found else 0 for name in FIGURES}

    async def value_total(self, account_id: ObjectId, import_id: ObjectId) -> tuple[float, int]:
        """The sum of `value` over the deals of the chunks that were worked off, and how many of them have one."""
        sums: Document = {"sum": {"$sum": "$value.sum"}, "deals": {"$sum": "$value.deals"}}
        query = {"account_id": account_id, "queue_id": import_id, "state": "done"}
        found = await self._own.aggregate(query, {"$group": {"_id": None, **sums}})
        return (float(found[0]["sum"]), int(found[0]["deals"])) if found else (0.0, 0)

    async def notes(self, account_id: ObjectId, import_id: ObjectId) -> list[Document]:
        """What was left out of cells of good rows, in file order; see `row_facts`."""
        query = {"account_id": account_id, "queue_id": import_id, "notes.0": {"$exists": True}}
        found = await self._own.find(query, sort=[("n", 1)], projection=["notes"])
        return [note for chunk in found for note in chunk["notes"]]

    async def stage_rows(self, account_id: ObjectId, import_id: ObjectId) -> list[Document]:
        """{name, rows}: what the chunks of a dry run say about the stages in them, in file order."""
        query = {"account_id": account_id, "queue_id": import_id, "stage_rows": {"$exists": True}}
        found = await self._own.find(query, sort=[("n", 1)], projection=["stage_rows"])
        return [one for chunk in found for one in chunk["stage_rows"]]

    async def error_groups(self, account_id: ObjectId, import_id: ObjectId, limit: int) -> list[Document]:
        """The row errors by code and column, the most frequent first, as {code, column, rows, row, line, message}.

        The last three are those of the first such row. At most `limit` groups.
        """
        query = {"account_id": account_id, "queue_id": import_id, "failed": {"$gt": 0}}
        first = {name: {"$first": f"$errors.{name}"} for name in ("row", "line", "message")}
        group = {"_id": {"code": "$errors.code", "column": "$errors.column"}, "rows": {"$sum": 1}, **first}
        stages: list[Document] = [
            {"$sort": {"n": 1}},
            {"$project": {f"errors.{name}": 1 for name in ("code", "column", "row", "line", "message")}},
            {"$unwind": "$errors"},
            {"$group": group},
            {"$sort": {"rows": -1, "line": 1}},
            {"$limit": limit},
        ]
        found = await self._own.aggregate(query, *stages)
        return [{**one.pop("_id"), **one} for one in found]

    async def errors(self, account_id: ObjectId, import_id: ObjectId) -> AsyncIterator[Document]:
        """Every row error in file order, one chunk in memory at a time."""
        query = {"account_id": account_id, "queue_id": import_id, "failed": {"$gt": 0}}
        async for chunk in self._own.stream(query, sort=[("n", 1)], projection=["errors"], batch_size=1):
            for error in chunk["errors"]:
                yield error

    async def expire(self, account_id: ObjectId, import_id: ObjectId, when: datetime) -> None:
        """Let MongoDB remove the chunks of the import at that time, except those that are set aside."""
        query = {"account_id": account_id, "queue_id": import_id, **await self.available()}
        await self._own.update_many(query, {"$set": {"expires_at": when}})
