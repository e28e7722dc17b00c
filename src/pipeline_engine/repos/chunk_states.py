"""How the chunks of an import stand. For people who ask; no run reads this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase


class ChunkStates:
    def __init__(self, database: AsyncIOMotorDatabase[Document]) -> None:
        self._own = Collection(database["import_chunks"])

    async def counts(self, account_id: ObjectId, import_id: ObjectId) -> list[Document]:
        """{_id: state, chunks, rows} for each state there is."""
        group = {"_id": "$state", "chunks": {"$sum": 1}, "rows": {"$sum": "$rows"}}
        query = {"account_id": account_id, "queue_id": import_id}
        return await self._own.aggregate(query, {"$group": group}, {"$sort": {"_id": 1}})

    async def begun(self, account_id: ObjectId, import_id: ObjectId, limit: int) -> list[Document]:
        """Open chunks that some run has claimed, whether or not it still holds them; in file order."""
        query = {"account_id": account_id, "queue_id": import_id, "state": "open", "token": {"$gt": 0}}
        return await self._own.find(query, limit=limit, sort=[("n", 1)], projection={"errors": 0})
