"""Creates and checks the indexes that the collections' specs ask for.

On collections that the CRM also writes, unique and TTL indexes are partial, on a field that only the engine writes: the
CRM's own documents lack it and can neither break the build nor be deleted. What documents break it all the same is
returned as a problem and never raised: the engine works without the index, and other indexes are created.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.client import Document, is_away
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.collection_spec import CollectionSpec

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorDatabase

NOT_REPLACEABLE = {"unique", "partialFilterExpression", "expireAfterSeconds"}
"""Options that make an index more than a faster lookup, so that no other index replaces it."""
MAX_CLASHES = 3
"""How many groups of clashing documents a problem names; of each the first document and the last."""


@dataclass(frozen=True)
class IndexProblem:
    """An index that the server does not create. `reason` names the documents that clash by their ids alone."""

    collection: str
    index: str
    reason: str

    def __str__(self) -> str:
        return f"{self.collection}.{self.index}: {self.reason}"


@dataclass(frozen=True)
class IndexReport:
    """`created`: {collection: names of the engine's indexes that exist now}."""

    created: dict[str, list[str]] = field(default_factory=dict)
    problems: list[IndexProblem] = field(default_factory=list)


@failpoint("mongo.create_indexes")
async def create_indexes(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> IndexReport:
    """Create the missing indexes; a repeat changes nothing. Raises PyMongoError only when MongoDB is away."""
    report = IndexReport()
    for spec in specs:
        if spec.indexes:
            created = await _create(database, spec, report.problems)
            # Several systems may declare one collection, each with what it needs.
            report.created[spec.name] = [*report.created.get(spec.name, ()), *created]
    return report


async def _create(
    database: AsyncIOMotorDatabase[Document], spec: CollectionSpec, problems: list[IndexProblem]
) -> list[str]:
    there = await database[spec.name].index_information()
    wanted = [model for model in spec.indexes if not _is_replaced(model, there)]
    if not wanted:
        return []
    try:
        return await database[spec.name].create_indexes(wanted)
    except OperationFailure as error:
        if is_away(error):
            raise
    created = []
    for model in wanted:  # one that fails takes the others of its call with it
        try:
            created += await database[spec.name].create_indexes([model])
        except OperationFailure as error:
            if is_away(error):
                raise
            problems.append(IndexProblem(spec.name, _name(model), await _reason(database, spec.name, model, error)))
    return created


async def _reason(
    database: AsyncIOMotorDatabase[Document], collection: str, model: IndexModel, error: OperationFailure
) -> str:
    """Why the server refuses the index. Its own text of a duplicate quotes values of tenants, so ids stand instead."""
    if error.code != DUPLICATE_KEY:
        return str((error.details or {}).get("errmsg") or error)[:200]
    groups = await _clashes(database, collection, model)
    texts = [f"{one['first']}, {one['last']}" + f" and {one['count'] - 2} more" * (one["count"] > 2) for one in groups]
    return f"documents with the same key: {'; '.join(texts) or 'not found again'}"


async def _clashes(database: AsyncIOMotorDatabase[Document], collection: str, model: IndexModel) -> list[Document]:
    """Keys of a unique index that several documents have, each with its first and last id and their number."""
    options = model.document
    key = {f"f{number}": {"$ifNull": [f"${name}", None]} for number, name in enumerate(options["key"])}
    pipeline: list[Document] = [
        {"$match": options.get("partialFilterExpression", {})},
        {"$group": {"_id": key, "first": {"$min": "$_id"}, "last": {"$max": "$_id"}, "count": {"$sum": 1}}},
        {"$match": {"count": {"$gt": 1}}},
        {"$limit": MAX_CLASHES},
    ]
    return await database[collection].aggregate(pipeline, allowDiskUse=True).to_list(None)


async def missing_indexes(database: AsyncIOMotorDatabase[Document], specs: Iterable[CollectionSpec]) -> list[str]:
    """The indexes of the specs that do not exist, as `collection.index`."""
    missing = []
    for spec in specs:
        there = await database[spec.name].index_information()
        wanted = [model for model in spec.indexes if not _is_replaced(model, there)]
        missing += [f"{spec.name}.{_name(model)}" for model in wanted if not _exists(model, there)]
    return missing


def _name(model: IndexModel) -> str:
    return str(model.document["name"])


def _exists(model: IndexModel, there: Mapping[str, Any]) -> bool:
    """Whether the index exists; one of its name that is not unique, made by a restore, does not serve for it."""
    one = there.get(_name(model))
    return one is not None and bool(one.get("unique")) == bool(model.document.get("unique"))


def _is_replaced(model: IndexModel, there: Mapping[str, Any]) -> bool:
    """Whether an index of the CRM serves as well. MongoDB might refuse a second one over the same fields."""
    ours = model.document
    if ours.keys() & NOT_REPLACEABLE:
        return False
    fields = list(ours["key"].items())
    foreign = [one for name, one in there.items() if name != ours["name"] or one.keys() & {"unique", "sparse"}]
    return any(one["key"][: len(fields)] == fields for one in foreign if "partialFilterExpression" not in one)
