"""Who takes the consumed events of an account: its activity log, and its workflows and webhooks where it has some."""

from __future__ import annotations

import asyncio

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.store import Store

ALWAYS = ("activity",)
WHERE_FOUND: dict[str, tuple[tuple[str, Document], ...]] = {
    "workflows": (("workflows", {}), ("workflow_enrollments", {"waiting_for": {"$exists": True}})),
    "webhooks": (("webhooks", {"active": {"$ne": False}}),),
}
"""{taker: where its account has something of it}"""


class EventTakers:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, account_id: ObjectId) -> list[str]:
        """The names for the field `onward`. Ask when the events have been read: what the account adds later is for
        later events, so that it misses none of its own."""
        questions = [(name, *one) for name, places in WHERE_FOUND.items() for one in places]
        answers = await asyncio.gather(*(self._is_there(account_id, where, which) for _, where, which in questions))
        there = [name for (name, *_), is_there in zip(questions, answers, strict=True) if is_there]
        return [*ALWAYS, *dict.fromkeys(there)]

    async def _is_there(self, account_id: ObjectId, collection: str, which: Document) -> bool:
        query = {"account_id": either(account_id), **which}
        return await self._store.collection(collection).find_one(query, projection=["_id"]) is not None
