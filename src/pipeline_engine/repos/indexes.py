"""Every index the queries need. On collections that the CRM also writes, unique and TTL ones are partial, on a field
that only the engine writes: the CRM's own documents lack it and can neither break the build nor be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING, IndexModel

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

DAY = 86_400


def _index(*fields: str, **options: object) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], **options)


def _where(field: str) -> dict[str, object]:
    return {"partialFilterExpression": {field: {"$exists": True}}}


PECULIAR = {"unique", "partialFilterExpression", "expireAfterSeconds"}
"""What makes an index more than a help to look things up."""

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
    "funnels": [
        _index("pending", "updatedAt", partialFilterExpression={"pending": True}),
        _index("in_progress", "updatedAt", partialFilterExpression={"in_progress": True}),
        _index("clone.cancel_requested", **_where("clone.cancel_requested")),
        _index("lease_owner", **_where("lease_owner")),
        _index("events_due.event_id", **_where("events_due")),
    ],
    "funnel.step": [
        _index("funnel_id", "original_step_id", name="clone_step", unique=True, **_where("clone_id")),
        _index("funnel_id"),
        _index("clone_state", "clone_id", **_where("clone_id")),
        _index("lease_owner", **_where("lease_owner")),
    ],
    "funnel.step.components": [
        _index("step_id", name="clone_components", unique=True, **_where("clone_id")),
        _index("step_id"),
    ],
    "sites_images": [
        _index("ref_id", "source_key", name="clone_image", unique=True, **_where("clone_id")),
        _index("ref_id"),
    ],
    "forms": [
        _index("funnel_id", "source_form_id", name="clone_form", unique=True, **_where("source_form_id")),
        _index("form_secret_id"),
    ],
    "support_tokens": [_index("domain")],
    "users": [_index("account")],
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


@failpoint("mongo.create_indexes")
async def create_indexes(database: AsyncIOMotorDatabase[Document]) -> dict[str, list[str]]:
    """Create what is missing; returns the names of ours per collection. Doing it again changes nothing."""
    return {name: await _create(database, name, models) for name, models in INDEXES.items()}


async def _create(database: AsyncIOMotorDatabase[Document], name: str, models: list[IndexModel]) -> list[str]:
    there = await database[name].index_information()
    wanted = [model for model in models if not _stood_in_for(model, there)]
    return await database[name].create_indexes(wanted) if wanted else []


async def missing_indexes(database: AsyncIOMotorDatabase[Document]) -> list[str]:
    """The wanted indexes that are not there, as `collection.index`."""
    missing = []
    for name, models in INDEXES.items():
        there = await database[name].index_information()
        wanted = [model.document["name"] for model in models if not _stood_in_for(model, there)]
        missing += [f"{name}.{index}" for index in wanted if index not in there]
    return missing


def _stood_in_for(model: IndexModel, there: Mapping[str, Any]) -> bool:
    """Whether an index of the CRM's own serves as well; one more over the same fields might be refused."""
    ours = model.document
    if ours.keys() & PECULIAR:
        return False
    fields = list(ours["key"].items())
    foreign = [one for name, one in there.items() if name != ours["name"] or one.keys() & {"unique", "sparse"}]
    return any(one["key"][: len(fields)] == fields for one in foreign if "partialFilterExpression" not in one)
