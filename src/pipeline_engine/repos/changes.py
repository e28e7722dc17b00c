"""One change stream over the whole database, filtered on the server to what makes work due."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline_engine.clock import Clock
from pipeline_engine.repos.client import Document
from pipeline_engine.seams import seam

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


def _changed(collection: str, field: str) -> Document:
    return {"ns.coll": collection, f"updateDescription.updatedFields.{field}": {"$exists": True}}


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

DUE: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "$or": [
                {"ns.coll": "queues", "fullDocument.source": "deals", "fullDocument.status": "pending"},
                {"ns.coll": "queues", "updateDescription.updatedFields.status": "pending"},
                {"ns.coll": "queues", "updateDescription.updatedFields.cancel_requested": True},
                {"ns.coll": "outbox", "operationType": "insert"},
                {"ns.coll": "automations", "fullDocument.status": "ACTIVE"},
                {"ns.coll": "automations", "updateDescription.updatedFields.status": "ACTIVE"},
                # Of the deals that an import inserts its chunk tells, once.
                {"ns.coll": "deals", "operationType": "insert", "fullDocument.import_id": {"$exists": False}},
                *(_changed("deals", field) for field in ("stage_id", "automation_starts", "retry_automations")),
                {"ns.coll": "import_chunks", "updateDescription.updatedFields.state": "done"},
            ],
        }
    },
    {"$project": {"ns.coll": 1, "documentKey": 1, "late": LATE}},
]


class Change(NamedTuple):
    """Something in `collection` became due; `late`: it is a deal that entered its stage some time ago, as it says."""

    collection: str
    id: Any
    late: bool


class Changes:
    """Hears of changes, one stream at a time."""

    def __init__(self, database: AsyncIOMotorDatabase[Document], clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.heard_since: datetime | None = None
        """From when on nothing was missed; None while nobody listens."""

    async def listen(self) -> AsyncGenerator[Change, None]:
        """Whatever becomes due, as it happens."""
        try:
            async with seam("mongo.watch"), self._database.watch(DUE, max_await_time_ms=1000) as stream:
                change = await stream.try_next()
                self.heard_since = self._clock.now()
                while True:
                    if change is not None:
                        yield Change(change["ns"]["coll"], change["documentKey"]["_id"], change["late"])
                    change = await stream.next()
        finally:
            self.heard_since = None
