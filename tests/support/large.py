"""Documents almost as large as MongoDB stores."""

from __future__ import annotations

from typing import Any

import bson

from tests.support.world import World

MAX_DOCUMENT_BYTES = 16 * 1024**2
ROOMY = "cache_size=1GB"
"""Such a document and its entry in the oplog are more than the tests' mongod, with its 256 MB, takes in one go."""


def fill(world: World, collection: str, id: Any, spare: int = 0) -> None:
    """Make the document so large that only `spare` bytes can be added to it."""
    world.db.client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig=ROOMY)
    document = world.db[collection].find_one({"_id": id}) or {}
    size = len(bson.encode({**document, "padding": ""})) + spare
    world.db[collection].delete_one({"_id": id})
    world.db[collection].insert_one({**document, "padding": "x" * (MAX_DOCUMENT_BYTES - size)})


def fill_up(world: World, collection: str, id: Any) -> None:
    """Use up what the document has spare."""
    size = {"$project": {"size": {"$bsonSize": "$$ROOT"}}}
    (found,) = world.db[collection].aggregate([{"$match": {"_id": id}}, size])
    spare = MAX_DOCUMENT_BYTES - found["size"] - len(bson.encode({"more": ""})) + len(bson.encode({}))
    world.db[collection].update_one({"_id": id}, {"$set": {"more": "x" * spare}})
