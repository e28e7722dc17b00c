"""Leads in any number, for the benchmarks of lead pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from bson import ObjectId

from tests.support.world import World

CHUNK = 5000

Document = dict[str, Any]


def insert_leads(world: World, count: int) -> list[ObjectId]:
    """So many open leads of the account; returns their ids."""
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "status": "open", "tags": []}
    person = {"name": "Ada", "phone": "+15005550006", "owner": world.user}
    ids = [ObjectId() for _ in range(count)]
    insert(world, "leads", ({"_id": id, **own, **person, "email": f"{id}@example.com"} for id in ids))
    return ids


def enter(world: World, stage_id: ObjectId, leads: Sequence[ObjectId]) -> None:
    """Have the leads enter the stage, as the CRM does."""
    own = {"account_id": world.account, "pipeline_id": world.pipeline, "stage_id": stage_id, "status": "entering"}
    insert(world, "lead_stages", ({**own, "lead_id": id, "entered_at": datetime.now(UTC)} for id in leads))


def insert(world: World, collection: str, documents: Iterable[Document]) -> None:
    """Insert the documents, some thousand at a time."""
    chunk: list[Document] = []
    for document in documents:
        chunk.append(document)
        if len(chunk) == CHUNK:
            world.db[collection].insert_many(chunk, ordered=False)
            chunk = []
    if chunk:
        world.db[collection].insert_many(chunk, ordered=False)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
