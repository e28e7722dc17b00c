"""Reads documents a page at a time in the order of an id that the CRM stored as ObjectId or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection, Query

FIRST_TEXT = ""
FIRST_ID = ObjectId("0" * 24)

Place = str | ObjectId
"""The last id that was read. Texts come before ObjectIds; ids of other types are left out."""


async def read_page(
    collection: Collection, query: Query, field: str, after: Place, limit: int, projection: Sequence[str]
) -> list[Document]:
    """The next documents that match, in the order of `field` behind `after`; none at the end."""
    options: dict[str, Any] = {"limit": limit, "sort": [(field, 1)], "projection": [field, *projection]}
    found = await collection.find({**query, field: {"$gt": after}}, **options)
    if found or isinstance(after, ObjectId):
        return found
    return await collection.find({**query, field: {"$gte": FIRST_ID}}, **options)
