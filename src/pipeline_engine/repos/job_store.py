"""What jobs did: `job_history` of every finished attempt, and `dead_letters` of jobs that were given up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters are meant; a part that is None leaves none out."""

    lane: str | None = None
    function: str | None = None
    """The kind of the job, as `import.plan`."""
    error: str | None = None
    """A part of the error's text, in either case."""
    older_than: timedelta | None = None
    """Since the last failure."""

    def query(self, now: datetime) -> Document:
        """The filter in MongoDB's words."""
        query: Document = {"lane": self.lane, "function": self.function}
        if self.error is not None:
            query["error"] = {"$regex": re.escape(self.error), "$options": "i"}
        if self.older_than is not None:
            query["last_failed_at"] = {"$lt": now - self.older_than}
        return {name: value for name, value in query.items() if value is not None}


EVERY_LETTER = LetterFilter()


class MongoJobStore:
    """The store that `lanes.JobStore` asks for; rows and letters are structs of `lanes`."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], clock: Clock) -> None:
        self._database = database
        self._history = database["job_history"]
        self._letters = database["dead_letters"]
        self._clock = clock

    @failpoint("mongo.job_history.record")
    async def record(self, rows: Sequence[Any]) -> None:
        """Store rows of history, each once.

        Of one lane the newest 1,000 that completed are kept for 24 h, and the newest 5,000 that failed for 7 days."""
        documents = [_history_document(msgspec.structs.asdict(row)) for row in rows]
        if documents:
            await self._history.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents])

        for lane in {row.lane for row in rows}:
            await self._trim(lane, STATES["completed"], MAX_COMPLETED_ROWS)
            await self._trim(lane, STATES["failed"], MAX_FAILED_ROWS)

    @failpoint("mongo.dead_letters.save_dead_letter")
    async def save_dead_letter(self, letter: Any) -> None:
        """Store a dead letter, once per job that was given up, however often this is called for it."""
        fields = msgspec.structs.asdict(letter)
        now = self._clock.now()
        key = derived_id("dead_letter", letter.lane, letter.job_id, letter.first_failed_at.isoformat())
        try:
            await self._letters.insert_one({"_id": key, **fields, "status": "dead", "createdAt": now, "updatedAt": now})
        except DuplicateKeyError:
            return

    async def letters(self, status: str = "dead", wanted: LetterFilter = EVERY_LETTER) -> list[Document]:
        """The letters with this status (dead, retried, discarded) that are meant, the newest first, without their
        tracebacks."""
        query = {**wanted.query(self._clock.now()), "status": status}
        return await self._letters.find(query, {"traceback": 0, "errors": 0}, sort=[("last_failed_at", -1)]).to_list(
            None
        )

    async def owned(self, collection: str, ids: Sequence[Any], account_id: ObjectId) -> set[Any]:
        """Those of the ids whose documents in the collection belong to the account."""
        query = {"_id": {"$in": list(ids)}, "account_id": {"$in": [account_id, str(account_id)]}}
        return {one["_id"] async for one in self._database[collection].find(query, ["_id"])}

    async def died_again(self, letters: Sequence[Mapping[str, Any]], since: datetime) -> set[ObjectId]:
        """The ids of those letters whose jobs became dead letters once more since then."""
        jobs = {(one["lane"], one["job_id"]): one["_id"] for one in letters}
        query = {**_of_jobs(letters), "createdAt": {"$gte": since}, "_id": {"$nin": list(jobs.values())}}
        found = self._letters.find(query, ["lane", "job_id"])
        return {jobs[place] async for one in found if (place := (one["lane"], one["job_id"])) in jobs}

    async def attempts_since(self, letters: Sequence[Mapping[str, Any]], since: datetime) -> dict[ObjectId, set[str]]:
        """{id of a letter: outcomes (done, retried) of its job's attempts since then}; both by the daemons' clocks."""
        jobs = {(one["lane"], one["job_id"]): one for one in letters}
        query = {**_of_jobs(letters), "outcome": {"$in": ["done", "retried"]}, "at": {"$gte": since}}
        outcomes: dict[ObjectId, set[str]] = {}
        async for row in self._history.find(query, ["lane", "job_id", "outcome", "at"]):
            letter = jobs.get((row["lane"], row["job_id"]))
            if letter and row["at"] > letter["last_failed_at"]:
                outcomes.setdefault(letter["_id"], set()).add(row["outcome"])
        return outcomes

    async def count_dead(self) -> int:
        """How many letters were neither retried nor discarded."""
        return await self._letters.count_documents({"status": "dead"})

    async def letter(self, id: ObjectId) -> Document | None:
        """The letter; None when there is none with this id."""
        return await self._letters.find_one({"_id": id})

    async def mark(self, id: ObjectId, status: str, **facts: Any) -> bool:
        """Set the status of a dead letter (retried, discarded) and store the facts with it; False when it was not dead
        any more."""
        change = {"$set": {"status": status, **facts, "updatedAt": self._clock.now()}}
        return (await self._letters.update_one({"_id": id, "status": "dead"}, change)).modified_count == 1

    async def counts(self, lane: str) -> dict[str, int]:
        """{state of STATES: number of rows in the lane's history}."""
        count = self._history.count_documents
        return {state: await count({"lane": lane, "outcome": {"$in": outcomes}}) for state, outcomes in STATES.items()}

    async def clean(self, lane: str, state: str, older_than: timedelta) -> int:
        """Remove rows of a lane's history in that state (a key of STATES) that are older.

        Returns how many were removed.
        """
        query = {"lane": lane, "outcome": {"$in": STATES[state]}, "at": {"$lt": self._clock.now() - older_than}}
        return (await self._history.delete_many(query)).deleted_count

    async def _trim(self, lane: str, outcomes: Sequence[str], max_rows: int) -> None:
        query = {"lane": lane, "outcome": {"$in": list(outcomes)}}
        edge = await self._history.find(query, sort=[("at", -1)], skip=max_rows, limit=1, projection=["at"]).to_list(
            None
        )
        if edge:
            await self._history.delete_many({**query, "at": {"$lte": edge[0]["at"]}})


STATES = {"completed": ["done"], "failed": ["retried", "dead"]}
"""{state that commands show: outcomes of rows}. A failed attempt counts as failed also when a later one succeeded."""
MAX_COMPLETED_ROWS = 1000
MAX_FAILED_ROWS = 5000
RETENTION = {"done": timedelta(days=1), "retried": timedelta(days=7), "dead": timedelta(days=7)}


def _of_jobs(letters: Sequence[Mapping[str, Any]]) -> Document:
    """A filter for what belongs to the jobs of these letters; jobs of two lanes may have one id."""
    lanes, ids = {one["lane"] for one in letters}, {one["job_id"] for one in letters}
    return {"lane": {"$in": list(lanes)}, "job_id": {"$in": list(ids)}}


def _history_document(row: Document) -> Document:
    key = derived_id("history", row["lane"], row["job_id"], row["attempts"], row["at"].isoformat())
    return {"_id": key, **row, "expires_at": row["at"] + RETENTION[row["outcome"]]}
