"""One change stream over the whole database, filtered on the server to what makes work due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

DUE: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "ns.coll": "queues",
            "$or": [
                {"operationType": {"$ne": "update"}, "fullDocument.source": "deals", "fullDocument.status": "pending"},
                {"updateDescription.updatedFields.status": "pending"},
                {"updateDescription.updatedFields.cancel_requested": True},
            ],
        }
    },
    {"$project": {"ns.coll": 1}},
]


async def changes(database: AsyncIOMotorDatabase[Document]) -> AsyncIterator[str]:
    """The collection's name whenever something in it became due."""
    async with database.watch(DUE, max_await_time_ms=1000) as stream:
        async for change in stream:
            yield change["ns"]["coll"]
