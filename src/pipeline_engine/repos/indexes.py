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

PECULIAR = {"unique", "partialFilterExpression", "expireAfterSeconds"}
"""What makes an index more than a help to look things up."""


@failpoint("mongo.create_indexes")
async def create_indexes(
    database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]
) -> dict[str, list[str]]:
    """Create what is missing; returns the names of ours per collection. Doing it again changes nothing."""
    return {spec.name: await _create(database, spec) for spec in specs if spec.indexes}


async def _create(database: AsyncIOMotorDatabase[Document], spec: CollectionSpec) -> list[str]:
    there = await database[spec.name].index_information()
    wanted = [model for model in spec.indexes if not _stood_in_for(model, there)]
    return await database[spec.name].create_indexes(wanted) if wanted else []


async def missing_indexes(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> list[str]:
    """The wanted indexes that are not there, as `collection.index`."""
    missing = []
    for spec in specs:
        there = await database[spec.name].index_information()
        wanted = [model.document["name"] for model in spec.indexes if not _stood_in_for(model, there)]
        missing += [f"{spec.name}.{index}" for index in wanted if index not in there]
    return missing


def _stood_in_for(model: IndexModel, there: Mapping[str, Any]) -> bool:
    """Whether an index of the CRM's own serves as well; one more over the same fields might be refused."""
    ours = model.document
    if ours.keys() & PECULIAR:
        return False
    fields = list(ours["key"].items())
    foreign = [one for name, one in there.items() if name != ours["name"] or one.keys() & {"unique", "sparse"}]
    return any(one["key"][: len(fields)] == fields for one in foreign if "partialFilterExpression" not in one)
