"""Accounts with contacts, deals and meetings on which every scheduled job that needs no outside service has work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bson import ObjectId

from tests.support.world import World

CONTACTS = 200
LOST, CALLED, DEALS = 20, 20, 10
"""Of each account: contacts to recycle, contacts to move on, deals on which nothing happens."""
BATCH = 1000
DAY = timedelta(days=1)
PERSON = {"name": "Ada", "email": "ada@example.com", "intent_score": 50.0, "intent_level": "medium"}

Document = dict[str, Any]


def insert_crowd(world: World, accounts: int) -> list[tuple[ObjectId, ObjectId]]:
    """Insert so many accounts. Returns (account, contact) of all contacts.

    Each contact has two signals, of which 44 points are left.
    """
    owners = [ObjectId() for _ in range(accounts)]
    world.db["_accounts"].delete_many({})
    world.db["_accounts"].insert_many([{"_id": account, "active": True} for account in owners])
    ids = [(account, ObjectId()) for account in owners for _ in range(CONTACTS)]
    now = datetime.now(UTC)
    places = [n % CONTACTS for n in range(len(ids))]
    _insert(world, "contacts", (_contact(n, *pair, now) for n, pair in zip(places, ids, strict=True)))
    _insert(world, "intent_signals", (one for pair in ids for one in _signals(*pair, now)))
    _insert(world, "activities", (one for n, pair in zip(places, ids, strict=True) for one in _activity(n, *pair, now)))
    _insert(world, "deals", (_deal(*pair, now) for n, pair in zip(places, ids, strict=True) if n < DEALS))
    _insert(world, "calendar_events", (_meeting(account, now) for account in owners))
    return ids


def _insert(world: World, collection: str, documents: Iterator[Document]) -> None:
    while some := list(islice(documents, BATCH)):
        world.db[collection].insert_many(some, ordered=False)


def _contact(n: int, account: ObjectId, id: ObjectId, now: datetime) -> Document:
    own = {"_id": id, "account_id": account, **PERSON}
    if n < LOST:
        return {**own, "status": "lost", "status_changed_at": now - 100 * DAY}
    return {**own, "lifecycle_stage": "mql", "lead_grade": "A"} if n < LOST + CALLED else own


def _signals(account: ObjectId, id: ObjectId, now: datetime) -> Iterator[Document]:
    own = {"account_id": account, "contact_id": id, "occurred_at": now - 3.04 * DAY}
    yield {**own, "type": "page_view", "points": 1}
    yield {**own, "type": "demo_request", "points": 50}


def _activity(n: int, account: ObjectId, id: ObjectId, now: datetime) -> Iterator[Document]:
    if n < LOST + CALLED:
        type = "page_view" if n < LOST else "call"
        yield {"account_id": account, "contact_id": id, "type": type, "occurred_at": now - 20 * DAY}


def _deal(account: ObjectId, contact: ObjectId, now: datetime) -> Document:
    what = {"name": "A deal", "status": "open", "value": 100, "createdAt": now - 10 * DAY, "updatedAt": now - 10 * DAY}
    return {"account_id": account, "contact_id": contact, "owner": ObjectId(), **what}


def _meeting(account: ObjectId, now: datetime) -> Document:
    times = {"starts_at": now + DAY / 48, "ends_at": now + DAY / 24}
    return {"account_id": account, "owner": ObjectId(), "title": "Talk", "attendees": [PERSON["email"]], **times}
