"""Work that takes longer than it should, and leases that nobody took over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.heartbeat import LEASED

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

LONG = 3600
"""Seconds that an import, the lease of one chunk or one slice of an automation may take before somebody should look."""
LONG_CLONE = 1800
"""The same for a clone."""
OVERDUE = 10
"""Seconds after its end at which a lease should have been taken over, were a daemon there."""
SHOWN = 5


@dataclass(frozen=True)
class Stuck:
    """Some documents of `collection` and what is the matter with them; `ids` are the first few of `count`."""

    collection: str
    matter: str
    count: int
    ids: list[str]


async def stuck_work(database: AsyncIOMotorDatabase[Document]) -> list[Stuck]:
    """What somebody should look at; empty when all is well. Times are the server's."""
    importing = {"source": "deals", "status": "processing", **_longer_ago("$started_at", LONG)}
    chunks = {"state": "open", "lease_until": {"$type": "date"}, **_longer_ago("$updatedAt", LONG)}
    cloning = {"in_progress": True, "clone.planned": True, **_longer_ago("$clone.started_at", LONG_CLONE)}
    acting = {"is_running": True, "lease_owner": {"$gt": ""}, **_longer_ago("$updatedAt", LONG)}
    overdue = {"lease_owner": {"$gt": ""}, **_longer_ago("$lease_until", OVERDUE)}
    questions = [
        ("queues", "imports that run for over an hour", importing),
        ("import_chunks", "chunks held for over an hour", chunks),
        ("automations", "automations that got nothing done for an hour", acting),
        ("funnels", "clones that run for over half an hour", cloning),
        *((name, "leases that ended and that nobody took over", overdue) for name in LEASED),
    ]
    found = [await _ask(database, *question) for question in questions]
    return [stuck for stuck in found if stuck.count]


async def _ask(database: AsyncIOMotorDatabase[Document], collection: str, matter: str, query: Document) -> Stuck:
    count = await database[collection].count_documents(query)
    some = await database[collection].find(query, projection=["_id"], limit=SHOWN).to_list(None) if count else []
    return Stuck(collection, matter, count, [str(one["_id"]) for one in some])


def _longer_ago(field: str, seconds: int) -> Document:
    edge = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": seconds}}
    # Missing and null sort before every date.
    return {"$expr": {"$and": [{"$eq": [{"$type": field}, "date"]}, {"$lt": [field, edge]}]}}
