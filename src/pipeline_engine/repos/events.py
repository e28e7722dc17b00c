"""`crm_events` that the engine publishes, and the `outbox` of socket events on their way out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, index
from pipeline_engine.repos.store import Store

KEPT = timedelta(days=7)


CRM_EVENTS = CollectionSpec("crm_events", indexes=(index("status", "occurred_at"),))
OUTBOX = CollectionSpec("outbox", indexes=(index("state", "next_at"), EXPIRY_INDEX), wakes=(INSERTED,))


class Events:
    def __init__(self, store: Store) -> None:
        self._crm_events = store.collection(CRM_EVENTS)
        self._outbox = store.collection(OUTBOX)
        self._clock = store.clock

    async def publish(self, event: Document) -> None:
        """Insert a CRM event; one with the same `_id` is the same event."""
        now = self._clock.now()
        await _insert(self._crm_events, {**event, "status": "new", "attempts": 0, "createdAt": now, "updatedAt": now})

    async def send(self, message: Document) -> None:
        """Put a socket event `{_id, account_id, event, user_ids, data}` into the outbox."""
        now = self._clock.now()
        state = {"state": "waiting", "attempts": 0, "next_at": now, "createdAt": now, "updatedAt": now}
        await _insert(self._outbox, {**message, **state})

    async def waiting(self, limit: int) -> list[Document]:
        """Socket events whose time has come, over all accounts, oldest first."""
        due = {"state": "waiting", "next_at": {"$lte": self._clock.now()}}
        return await self._outbox.everywhere.find(due, limit=limit, sort=[("next_at", 1)])

    async def states(self, ids: Sequence[str]) -> dict[str, str]:
        found = await self._outbox.everywhere.find({"_id": {"$in": list(ids)}}, projection=["state"])
        return {message["_id"]: message["state"] for message in found}

    async def message(self, id: str) -> Document | None:
        """A socket event whose time has come; None when it was delivered, given up or put off."""
        due = {"_id": id, "state": "waiting", "next_at": {"$lte": self._clock.now()}}
        return await self._outbox.everywhere.find_one(due)

    async def count_waiting(self) -> int:
        """How many socket events are still to be delivered, over all accounts."""
        return await self._outbox.everywhere.count({"state": "waiting"})

    async def attempt(self, message: Document, again_in: float) -> bool:
        """Count an attempt before it is made; False when another daemon has just made it."""
        query = {"_id": message["_id"], "account_id": message["account_id"], "attempts": message["attempts"]}
        now = self._clock.now()
        change = {"next_at": now + timedelta(seconds=again_in), "updatedAt": now}
        return await self._outbox.update_one(query, {"$inc": {"attempts": 1}, "$set": change}) == 1

    async def take_back(self, message: Document) -> None:
        """The attempt was none: the service was away."""
        query = {"_id": message["_id"], "account_id": message["account_id"]}
        await self._outbox.update_one(query, {"$inc": {"attempts": -1}})

    async def settle(self, message: Document, state: str) -> None:
        """Delivered or given up: kept for a week."""
        now = self._clock.now()
        query = {"_id": message["_id"], "account_id": message["account_id"]}
        await self._outbox.update_one(query, {"$set": {"state": state, "updatedAt": now, "expires_at": now + KEPT}})


async def _insert(collection: Collection, document: Document) -> None:
    try:
        await collection.insert_one(document)
    except DuplicateKeyError:
        return
