"""What the lanes did: `job_history` and `dead_letters`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from bson import ObjectId
from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from pipeline_engine.clock import Clock
from pipeline_engine.failpoints import failpoint
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, index

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


JOB_HISTORY = CollectionSpec("job_history", indexes=(index("lane", "outcome", "at"), EXPIRY_INDEX))
DEAD_LETTERS = CollectionSpec("dead_letters", indexes=(index("status", "last_failed_at"), index("lane", "job_id")))


class MongoJobStore:
    """Answers for the port that the lanes define; the shapes are theirs."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], clock: Clock) -> None:
        self._history = database["job_history"]
        self._letters = database["dead_letters"]
        self._clock = clock

    @failpoint("mongo.job_history.record")
    async def record(self, rows: Sequence[Any]) -> None:
        """Keep rows of history, each once: 24 h and 1,000 of a lane; of those that failed 7 d and 5,000."""
        documents = [_history_document(msgspec.structs.asdict(row)) for row in rows]
        if documents:
            await self._history.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents])

        for lane in {row.lane for row in rows}:
            await self._trim(lane, STATES["completed"], COMPLETED_ROWS)
            await self._trim(lane, STATES["failed"], FAILED_ROWS)

    @failpoint("mongo.dead_letters.save_dead_letter")
    async def save_dead_letter(self, letter: Any) -> None:
        """Keep a dead letter: one per death of a job, however often it is brought."""
        fields = msgspec.structs.asdict(letter)
        now = self._clock.now()
        key = derived_id("dead_letter", letter.lane, letter.job_id, letter.first_failed_at.isoformat())
        try:
            await self._letters.insert_one({"_id": key, **fields, "status": "dead", "createdAt": now, "updatedAt": now})
        except DuplicateKeyError:
            return

    async def letters(self, status: str = "dead", limit: int = 100) -> list[Document]:
        """The newest letters first."""
        return await self._letters.find({"status": status}, sort=[("last_failed_at", -1)], limit=limit).to_list(None)

    async def dead_ids(self) -> list[ObjectId]:
        """Every letter about which nothing was decided yet, oldest first."""
        found = self._letters.find({"status": "dead"}, sort=[("last_failed_at", 1)], projection=["_id"])
        return [letter["_id"] for letter in await found.to_list(None)]

    async def count_dead(self) -> int:
        return await self._letters.count_documents({"status": "dead"})

    async def letter(self, id: ObjectId) -> Document | None:
        return await self._letters.find_one({"_id": id})

    async def mark(self, id: ObjectId, status: str) -> bool:
        """Say what became of a dead letter; False when it was not dead any more."""
        change = {"$set": {"status": status, "updatedAt": self._clock.now()}}
        return (await self._letters.update_one({"_id": id, "status": "dead"}, change)).modified_count == 1

    async def counts(self, lane: str) -> dict[str, int]:
        """{state of STATES: rows of the lane's history}."""
        count = self._history.count_documents
        return {state: await count({"lane": lane, "outcome": {"$in": outcomes}}) for state, outcomes in STATES.items()}

    async def clean(self, lane: str, state: str, older_than: timedelta) -> int:
        """Remove a lane's history of that state (a key of STATES) that is older. Returns how many rows went."""
        query = {"lane": lane, "outcome": {"$in": STATES[state]}, "at": {"$lt": self._clock.now() - older_than}}
        return (await self._history.delete_many(query)).deleted_count

    async def _trim(self, lane: str, outcomes: Sequence[str], most: int) -> None:
        query = {"lane": lane, "outcome": {"$in": list(outcomes)}}
        edge = await self._history.find(query, sort=[("at", -1)], skip=most, limit=1, projection=["at"]).to_list(None)
        if edge:
            await self._history.delete_many({**query, "at": {"$lte": edge[0]["at"]}})


STATES = {"completed": ["done"], "failed": ["retried", "dead"]}
"""What people call a row of history; an attempt that failed counts as failed though a later one went well."""
COMPLETED_ROWS = 1000
FAILED_ROWS = 5000
KEPT = {"done": timedelta(days=1), "retried": timedelta(days=7), "dead": timedelta(days=7)}


def _history_document(row: Document) -> Document:
    key = derived_id("history", row["lane"], row["job_id"], row["attempts"], row["at"].isoformat())
    return {"_id": key, **row, "expires_at": row["at"] + KEPT[row["outcome"]]}
