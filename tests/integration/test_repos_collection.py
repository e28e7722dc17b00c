"""The wrapper around a collection refuses what does not say whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.repos.collection import AccountMissing, Collection
from tests.support.engine_app import EngineApp

ANYBODYS = {"_id": ObjectId()}
CHANGE = {"$set": {"changed": True}}
WRITES = [UpdateOne({"account_id": 1}, CHANGE), UpdateOne(ANYBODYS, CHANGE)]

Operation = Callable[[Collection], Awaitable[object]]


async def drained(collection: Collection) -> object:
    return [document async for document in collection.stream(ANYBODYS, sort=[("_id", 1)])]


async def replied(collection: Collection) -> object:
    return [reply async for reply in collection.replies(ANYBODYS)]


OPERATIONS: dict[str, Operation] = {
    "find_one": lambda collection: collection.find_one(ANYBODYS),
    "find": lambda collection: collection.find(ANYBODYS),
    "stream": drained,
    "replies": replied,
    "count": lambda collection: collection.count(ANYBODYS),
    "aggregate": lambda collection: collection.aggregate(ANYBODYS),
    "find_one_and_update": lambda collection: collection.find_one_and_update(ANYBODYS, CHANGE),
    "update_one": lambda collection: collection.update_one(ANYBODYS, CHANGE),
    "update_many": lambda collection: collection.update_many(ANYBODYS, CHANGE),
    "insert_one": lambda collection: collection.insert_one(dict(ANYBODYS)),
    "insert_many": lambda collection: collection.insert_many([{"account_id": ObjectId()}, dict(ANYBODYS)]),
    "insert_missing": lambda collection: collection.insert_missing([{"account_id": ObjectId()}, dict(ANYBODYS)]),
    "delete": lambda collection: collection.delete(ANYBODYS),
    "bulk": lambda collection: collection.bulk(WRITES),
    "bulk_refusals": lambda collection: collection.bulk_refusals(WRITES),
}


@pytest.mark.covers("R-19")
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_without_an_account_nothing_is_asked_and_nothing_written(app: EngineApp, operation: Operation) -> None:
    collection = Collection(app.database["things"])

    with pytest.raises(AccountMissing, match="things"):
        await operation(collection)

    assert await collection.everywhere.count({}) == 0


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_who_looks_over_all_accounts_says_so(app: EngineApp, operation: Operation) -> None:
    await operation(Collection(app.database["things"]).everywhere)


def test_every_operation_is_tried_above() -> None:
    """A new one without the check would let tenants see each other."""
    public = {name for name in vars(Collection) if not name.startswith("_")}
    assert public - {"everywhere"} == set(OPERATIONS)
