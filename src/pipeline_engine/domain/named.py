"""Documents that jobs can name: their `_id` is an ObjectId or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bson import ObjectId

from pipeline_engine.app import App

Document = TypeVar("Document", bound=Mapping[str, Any])


async def named(app: App, collection: str, documents: Sequence[Document]) -> list[Document]:
    """Those of the documents that a job can name; the others are set aside."""
    for one in documents:
        if not isinstance(one["_id"], str | ObjectId):
            reason = f"_id is of the type {type(one['_id']).__name__}, which no job can name"
            await app.shared.quarantine.add(collection, one["_id"], reason)
    return [one for one in documents if isinstance(one["_id"], str | ObjectId)]
