"""Creates and checks the indexes that the collections' specs ask for.

On collections that the CRM also writes, unique and TTL indexes are partial, on a field that only the engine writes: the
CRM's own documents lack it and can neither break the build nor be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

NOT_REPLACEABLE = {"unique", "partialFilterExpression", "expireAfterSeconds"}
"""Options that make an index more than a faster lookup, so that no other index replaces it."""


@failpoint("mongo.create_indexes")
async def create_indexes(
    database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]
) -> dict[str, list[str]]:
    """Create the missing indexes. Returns {collection: names of the engine's indexes}; a repeat changes nothing."""
    return {spec.name: await _create(database, spec) for spec in specs if spec.indexes}


async def _create(database: AsyncIOMotorDatabase[Document], spec: CollectionSpec) -> list[str]:
    there = await database[spec.name].index_information()
    wanted = [model for model in spec.indexes if not _is_replaced(model, there)]
    return await database[spec.name].create_indexes(wanted) if wanted else []


async def missing_indexes(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> list[str]:
    """The indexes of the specs that do not exist, as `collection.index`."""
    missing = []
    for spec in specs:
        there = await database[spec.name].index_information()
        wanted = [model.document["name"] for model in spec.indexes if not _is_replaced(model, there)]
        missing += [f"{spec.name}.{index}" for index in wanted if index not in there]
    return missing


def _is_replaced(model: IndexModel, there: Mapping[str, Any]) -> bool:
    """Whether an index of the CRM serves as well. MongoDB might refuse a second one over the same fields."""
    ours = model.document
    if ours.keys() & NOT_REPLACEABLE:
        return False
    fields = list(ours["key"].items())
    foreign = [one for name, one in there.items() if name != ours["name"] or one.keys() & {"unique", "sparse"}]
    return any(one["key"][: len(fields)] == fields for one in foreign if "partialFilterExpression" not in one)
