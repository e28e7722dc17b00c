"""Every index the queries need. On collections that the CRM also writes, unique and TTL ones are partial, on a field
that only the engine writes: the CRM's own documents lack it and can neither break the build nor be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ASCENDING, IndexModel

from pipeline_engine.repos.client import Document
from pipeline_engine.seams import seam

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

DAY = 86_400


def _index(*fields: str, **options: object) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], **options)


def _where(field: str) -> dict[str, object]:
    return {"partialFilterExpression": {field: {"$exists": True}}}


INDEXES: dict[str, list[IndexModel]] = {
    "queues": [
        _index("source", "status", "lease_until"),
        _index("lease_owner", **_where("lease_owner")),
        _index("events_due.event_id", **_where("events_due")),
        _index("account_id", "source", "createdAt"),
    ],
    "import_chunks": [
        _index("queue_id", "n", unique=True),
        _index("state", "lease_until"),
        _index("queue_id", "state"),
        _index("lease_owner", **_where("lease_owner")),
        _index("expires_at", expireAfterSeconds=0),
    ],
    "csv_imports": [_index("queue_id")],
    "pipeline_stages": [
        _index("account_id", "pipeline_id", "name_key", unique=True, **_where("name_key")),
        _index("pipeline_id", "name_key"),
    ],
    "automations": [
        _index("status", "module"),
        _index("account_id", "stage_id"),
        _index("run.id", **_where("run.id")),
        _index("lease_owner", **_where("lease_owner")),
    ],
    "deals": [
        _index("account_id", "stage_id", "automation_starts", "_id"),
        _index("retry_automations", partialFilterExpression={"retry_automations.0": {"$exists": True}}),
    ],
    "automation_logs": [
        _index("account_id", "automation", "run_id"),
        _index("account_id", "automation", "state"),
        _index("expires_at", expireAfterSeconds=0, **_where("expires_at")),
    ],
    "automation_units": [_index("account_id", "automation_id", "state", "next_at")],
    "suppressions": [_index("account_id", "address", "channel")],
    "effects": [_index("expires_at", expireAfterSeconds=0)],
    "crm_events": [_index("status", "occurred_at")],
    "outbox": [
        _index("state", "next_at"),
        _index("expires_at", expireAfterSeconds=0),
    ],
    "job_history": [
        _index("lane", "outcome", "at"),
        _index("expires_at", expireAfterSeconds=0),
    ],
    "dead_letters": [_index("status", "last_failed_at"), _index("lane", "job_id")],
}


@seam("mongo.create_indexes")
async def create_indexes(database: AsyncIOMotorDatabase[Document]) -> dict[str, list[str]]:
    """Create what is missing; returns the index names per collection. Doing it again changes nothing."""
    return {name: await database[name].create_indexes(models) for name, models in INDEXES.items()}


async def missing_indexes(database: AsyncIOMotorDatabase[Document]) -> list[str]:
    """The wanted indexes that are not there, as `collection.index`."""
    missing = []
    for name, models in INDEXES.items():
        there = await database[name].index_information()
        missing += [f"{name}.{model.document['name']}" for model in models if model.document["name"] not in there]
    return missing
