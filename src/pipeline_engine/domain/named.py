"""Documents that jobs can name: their `_id` is an ObjectId or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bson import ObjectId

from pipeline_engine.app import App

Document = TypeVar("Document", bound=Mapping[str, Any])

NAMES = (str, ObjectId)
"""Their subclasses are no names: bson's `Code` is a text that equals no text."""


async def named(app: App, collection: str, documents: Sequence[Document]) -> list[Document]:
    """Those of the documents that a job can name; the others are set aside."""
    for one in documents:
        if type(one["_id"]) not in NAMES:
            reason = f"_id is of the type {type(one['_id']).__name__}, which no job can name"
            await app.shared.quarantine.add(collection, one["_id"], reason)
    return [one for one in documents if type(one["_id"]) in NAMES]
