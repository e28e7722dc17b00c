"""One change stream over the whole database, filtered on the server to what makes work due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pipeline_engine.repos.client import Document
from pipeline_engine.seams import seam

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


def _changed(collection: str, field: str) -> Document:
    return {"ns.coll": collection, f"updateDescription.updatedFields.{field}": {"$exists": True}}


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
    {"$project": {"ns.coll": 1}},
]


async def changes(database: AsyncIOMotorDatabase[Document]) -> AsyncIterator[str]:
    """The collection's name whenever something in it became due."""
    async with seam("mongo.watch"), database.watch(DUE, max_await_time_ms=1000) as stream:
        async for change in stream:
            yield change["ns"]["coll"]
