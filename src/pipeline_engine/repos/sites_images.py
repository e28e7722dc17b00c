"""Images of sites (`sites_images`): the record of each object in S3. A copy has its record before it has its object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

SITES_IMAGES = CollectionSpec(
    "sites_images",
    indexes=(index("ref_id", "source_key", name="clone_image", unique=True, **having("clone_id")), index("ref_id")),
)


class SitesImages:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(SITES_IMAGES).everywhere
        self._own = store.collection(SITES_IMAGES)

    async def of_source(self, funnel_id: ObjectId) -> list[Document]:
        """The images of any funnel that have a key, oldest first."""
        query = {"ref_id": either(funnel_id), "key": {"$type": "string", "$ne": ""}}
        return await self._all.find(query, sort=[("_id", 1)])

    async def of_clone(self, clone: Mapping[str, Any]) -> list[Document]:
        return await self._own.find(_of(clone), projection=["source_key", "key", "uploaded"])

    async def add(self, records: Sequence[Document]) -> None:
        """Insert what is not there yet."""
        await self._own.insert_missing(records)

    async def uploaded(self, clone: Mapping[str, Any], source_keys: Sequence[str]) -> None:
        """The objects are there."""
        query = {**_of(clone), "source_key": {"$in": list(source_keys)}}
        await self._own.update_many(query, {"$set": {"uploaded": True}, "$currentDate": {"updatedAt": True}})

    async def drop(self, clone: Mapping[str, Any], source_keys: Sequence[str]) -> None:
        """There is nothing to copy."""
        await self._own.delete({**_of(clone), "source_key": {"$in": list(source_keys)}})

    async def count(self, clone: Mapping[str, Any]) -> int:
        return await self._own.count({**_of(clone), "uploaded": True})


def _of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "ref_id": clone["_id"], "clone_id": clone["_id"]}
