"""`crm_events` that the engine publishes, the `outbox` of socket events to deliver, and `events_due` in other
documents.

An event becomes true with a change of some document and stands in its `events_due` first. The relay copies it from
there to `crm_events` or `outbox` under its own id, so that a repeat inserts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from pipeline_engine.ids import derived_id
from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import EVENTS_DUE, EXPIRY_INDEX, CollectionSpec, index
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.own_fields import MAX_AHEAD
from pipeline_engine.repos.quarantine import Quarantine
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=7)
"""Of socket events that were delivered or given up."""

OUTBOX = CollectionSpec("outbox", indexes=(index("state", "next_at"), EXPIRY_INDEX), wakes=(INSERTED,))


def due_for_attempt(now: datetime) -> Document:
    """A filter for waiting socket events whose next attempt is due: all but those with a time to come that the engine
    can have written. Each branch is a range of the index."""
    no_date: Document = {"next_at": {"$not": {"$type": "date"}}}
    too_late: Document = {"next_at": {"$gt": now + MAX_AHEAD}}
    return {"state": "waiting", "$or": [{"next_at": {"$lte": now}}, no_date, too_late]}


class Events:
    """CRM events, and socket events with the state of their delivery: waiting, delivered or given_up."""

    def __init__(self, store: Store) -> None:
        self._crm_events = store.collection(CRM_EVENTS)
        self._outbox = store.collection(OUTBOX)
        self._quarantine = Quarantine(store)
        self._clock = store.clock

    async def publish(self, event: Document) -> Any:
        """Insert a CRM event, unless its account has one with its `_id`, and return its `_id`. Where another account
        has that one, it gets an `_id` that follows from both: no account can keep events of another out."""
        now = self._clock.now()
        new = {**event, "status": "new", "attempts": 0, "createdAt": now, "updatedAt": now}
        while not await _insert(self._crm_events, new) and await self._is_anothers(new):
            new["_id"] = str(derived_id(new["account_id"], new["_id"]))
        return new["_id"]

    async def _is_anothers(self, event: Document) -> bool:
        holder = await self._crm_events.everywhere.find_one({"_id": event["_id"]}, projection=["account_id"])
        return holder is not None and str(holder.get("account_id")) != str(event["account_id"])

    async def types(self, ids: Sequence[str]) -> dict[str, Any]:
        """{id as text: type} of the CRM events that exist."""
        query = {"_id": {"$in": [one for id in ids for one in _spellings(id)]}}
        found = await self._crm_events.everywhere.find(query, projection=["type"])
        return {str(one["_id"]): one.get("type") for one in found}

    async def edit_dead(self, id: str, data: Mapping[str, Any]) -> bool:
        """Replace the data of a dead CRM event, and keep what it was before as `data_before`. False when it is not
        dead. When the event ends again it goes onward once more."""
        query = {"_id": {"$in": _spellings(id)}, "status": "dead"}
        literal = {"$literal": dict(data)}
        # A literal over a document would be merged into it, so the old one goes first.
        stages: list[Document] = [
            {"$set": {"data_before": "$data"}},
            {"$unset": ["data", "handed_on"]},
            {"$set": {"data": literal, "updatedAt": "$$NOW"}},
        ]
        return await self._crm_events.everywhere.update_one(query, stages) == 1

    async def add_to_outbox(self, message: Document) -> None:
        """Put a socket event `{_id, account_id, event, user_ids, data}` into the outbox, unless its `_id` is there."""
        now = self._clock.now()
        state = {"state": "waiting", "attempts": 0, "next_at": now, "createdAt": now, "updatedAt": now}
        await _insert(self._outbox, {**message, **state})

    async def message(self, id: str) -> Document | None:
        """The socket event; None when there is none with this id."""
        return await self._outbox.everywhere.find_one({"_id": id})

    async def find_due(self, limit: int, like: Mapping[str, Any] | None = None) -> list[Document]:
        """Socket events whose next attempt is due, the longest due first: of all accounts, or of that of `like`."""
        due = {**due_for_attempt(self._clock.now()), **await self._quarantine.others(OUTBOX.name)}
        if like is not None:
            due |= {"account_id": {"$eq": like.get("account_id")}}
        return await self._outbox.everywhere.find(due, limit=limit, sort=[("next_at", 1)])

    async def delivery_states(self, ids: Sequence[str]) -> dict[str, str]:
        """{id: state} of the socket events that exist."""
        found = await self._outbox.everywhere.find({"_id": {"$in": list(ids)}}, projection=["state"])
        return {message["_id"]: message["state"] for message in found}

    async def count_waiting(self) -> int:
        """How many socket events of all accounts are not yet delivered or given up."""
        return await self._outbox.everywhere.count({"state": "waiting"})

    async def count_attempt(self, message: Document, again_in: float) -> bool:
        """Count an attempt before it is made; the next is due `again_in` seconds from now.

        False: another daemon makes it.
        """
        query = {**_identity(message), "attempts": message["attempts"]}
        now = self._clock.now()
        change = {"next_at": now + timedelta(seconds=again_in), "updatedAt": now}
        return await self._outbox.update_one(query, {"$inc": {"attempts": 1}, "$set": change}) == 1

    async def uncount_attempt(self, message: Document) -> None:
        """Undo `count_attempt`: the socket service was away, so no attempt was made."""
        query = _identity(message)
        await self._outbox.update_one(query, {"$inc": {"attempts": -1}})

    async def end_delivery(self, message: Document, state: str) -> None:
        """Mark the event as `delivered` or `given_up`; it is removed after `RETENTION`."""
        now = self._clock.now()
        query = _identity(message)
        await self._outbox.update_one(
            query, {"$set": {"state": state, "updatedAt": now, "expires_at": now + RETENTION}}
        )


class EventsDue:
    """The field `events_due` of one collection, over all accounts."""

    def __init__(self, store: Store, spec: CollectionSpec) -> None:
        self._all = store.collection(spec).everywhere
        self._quarantine = Quarantine(store)
        self._name = spec.name

    async def ids(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of documents with events due."""
        query = {**EVENTS_DUE, **await self._quarantine.others(self._name)}
        return await self._all.find(query, limit=limit, projection=["account_id"])

    async def get(self, id: Any) -> Document | None:
        """`{_id, account_id, events_due}` of a document; None when it has no events due."""
        return await self._all.find_one({"_id": id, **EVENTS_DUE}, projection=["account_id", "events_due"])

    async def clear(self, document: Mapping[str, Any]) -> None:
        """Remove the events that were due when `document` was read, unless others were added since: then change
        nothing."""
        # What is no list was not written by the engine, and is not returned by `get`.
        same = {"$eq": document["events_due"]} if "events_due" in document else {"$not": {"$type": "array"}}
        query = {"_id": document["_id"], "events_due": same}
        await self._all.update_one(query, {"$unset": {"events_due": ""}})


def _identity(message: Document) -> Document:
    """A filter for the socket event; `$eq`, because an account of any type, or none, must match."""
    return {"_id": message["_id"], "account_id": {"$eq": message.get("account_id")}}


async def _insert(collection: Collection, document: Document) -> bool:
    """Insert the document. False: one with its `_id` exists."""
    try:
        await collection.insert_one(document)
    except DuplicateKeyError:
        return False
    return True


def _spellings(id: str) -> list[Any]:
    """Ids of events are texts; anyone may insert one under an ObjectId."""
    return [id, ObjectId(id)] if ObjectId.is_valid(id) else [id]
