"""One change stream over the whole database, filtered on the server to what makes work due."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from pipeline_engine.clock import Clock
from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


def _changed(collection: str, field: str) -> Document:
    return {"ns.coll": collection, f"updateDescription.updatedFields.{field}": {"$exists": True}}


def _pushed(field: str) -> Document:
    """Something was added to a list that was there: told as the field `<list>.<place>`, which no path reaches."""
    fields = {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}
    begins = {"$eq": [{"$indexOfCP": ["$$this.k", f"{field}."]}, 0]}
    return {"$expr": {"$anyElementTrue": {"$map": {"input": fields, "in": begins}}}}


# Watermarks rest on the time of entry being the time of the change; these deals are the exception.
ENTERED: Document = {
    "$ifNull": ["$fullDocument.automation_starts", "$updateDescription.updatedFields.automation_starts"]
}
MOVED: Document = {"$ifNull": ["$fullDocument.stage_id", "$updateDescription.updatedFields.stage_id"]}
HAPPENED: Document = {"$ifNull": ["$wallTime", "$$NOW"]}  # servers before 6.0 do not say when
LATE: Document = {
    "$and": [
        {"$eq": ["$ns.coll", "deals"]},
        {"$ne": [{"$ifNull": [ENTERED, MOVED, None]}, None]},
        {
            "$lt": [
                {"$ifNull": [ENTERED, None]},
                {"$dateSubtract": {"startDate": HAPPENED, "unit": "second", "amount": 30}},
            ]
        },
    ]
}
# Not long before the change that tells of it, or later: by our clock that time may not have come yet. Other times are
# not sent: a date may be one that Python cannot hold.
AROUND: Document = {
    "$and": [
        {"$gt": [ENTERED, {"$dateSubtract": {"startDate": HAPPENED, "unit": "second", "amount": 5}}]},
        {"$lt": [ENTERED, {"$dateAdd": {"startDate": HAPPENED, "unit": "second", "amount": 60}}]},
    ]
}
NEAR: Document = {"$cond": [AROUND, ENTERED, "$$REMOVE"]}

DUE: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "$or": [
                {"ns.coll": "queues", "fullDocument.source": "deals", "fullDocument.status": "pending"},
                {"ns.coll": "queues", "updateDescription.updatedFields.status": "pending"},
                {"ns.coll": "queues", "updateDescription.updatedFields.cancel_requested": True},
                {"ns.coll": "outbox", "operationType": "insert"},
                {"ns.coll": "funnels", "fullDocument.pending": True},
                {"ns.coll": "funnels", "updateDescription.updatedFields.pending": True},
                # One was taken, or has ended: the next may come.
                _changed("funnels", "in_progress"),
                {"ns.coll": "automations", "fullDocument.status": "ACTIVE"},
                {"ns.coll": "automations", "updateDescription.updatedFields.status": "ACTIVE"},
                # Of the deals that an import inserts its chunk tells, once.
                {"ns.coll": "deals", "operationType": "insert", "fullDocument.import_id": {"$exists": False}},
                *(_changed("deals", field) for field in ("stage_id", "automation_starts", "retry_automations")),
                {"ns.coll": "deals", **_pushed("retry_automations")},
                {"ns.coll": "import_chunks", "updateDescription.updatedFields.state": "done"},
            ],
        }
    },
    {"$project": {"ns.coll": 1, "documentKey": 1, "late": LATE, "stage": MOVED, "entered": NEAR}},
]


@dataclass(frozen=True)
class Change:
    """Something in a collection became due; in `deals` often one stage is known in which it did, and when."""

    collection: str
    stage: Any = None
    at: datetime | None = None


class Changes:
    """Hears of changes, one stream at a time."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._late: dict[str, datetime] = {}
        self._heard_since: datetime | None = None

    def told_since(self, stage_id: ObjectId) -> datetime | None:
        """From when on we would have heard of every deal that enters the stage and says that it did so long ago; None
        while nobody listens. Such a deal was the last thing that we did hear of, or the stream was opened then."""
        if self._heard_since is None:
            return None
        return max(self._heard_since, self._late.get(str(stage_id), self._heard_since))

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[Change]]:
        """An open stream: what becomes due from now on, as it happens."""
        try:
            async with failpoint("mongo.watch"), self._database.watch(DUE, max_await_time_ms=1000) as stream:
                first = await stream.try_next()  # opens it
                self._heard_since = self._clock.now()
                yield self._told(stream, first)
        finally:
            self._heard_since = None

    async def _told(self, stream: Any, change: Mapping[str, Any] | None) -> AsyncIterator[Change]:
        while True:
            if change is not None:
                await self._note(change)
                yield _due(change)
            change = await stream.next()

    async def _note(self, change: Mapping[str, Any]) -> None:
        if change["late"]:
            stage = change.get("stage") or await self._stage_of(change["documentKey"]["_id"])
            self._late[str(stage)] = self._clock.now()

    async def _stage_of(self, deal_id: Any) -> Any:
        deal = await self._database["deals"].find_one({"_id": deal_id}, projection=["stage_id"])
        return deal and deal.get("stage_id")


def _due(change: Mapping[str, Any]) -> Change:
    collection, entered = change["ns"]["coll"], change.get("entered")
    if collection != "deals":
        return Change(collection)
    return Change(collection, change.get("stage"), entered if isinstance(entered, datetime) else None)
