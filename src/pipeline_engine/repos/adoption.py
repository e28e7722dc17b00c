"""Takes over what an older engine, which had no unique keys, has begun for a clone."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection


async def adopt(collection: Collection, foreign: Document, field: str, taken: set[ObjectId], ours: Document) -> None:
    """Of the documents that lack our mark `clone_id`, give the oldest of each `field` the fields `ours`, which are
    expressions; the others, and those whose `field` is taken, go."""
    everywhere = collection.everywhere
    for one in await everywhere.find({**foreign, "clone_id": None}, sort=[("_id", 1)], projection=[field]):
        unmarked = {"_id": one["_id"], "clone_id": None}
        if one[field] in taken:
            await everywhere.delete(unmarked)
        else:
            taken.add(one[field])
            await everywhere.update_one(unmarked, [{"$set": ours}])
