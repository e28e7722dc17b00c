"""One change to many documents, of which any may be one that the server refuses to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError, WriteError

from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.deal_change import DealChange

NO_OBJECT = 40400
"""What the server says of `$mergeObjects` where it finds something else."""


@dataclass(frozen=True)
class Changed:
    """`everything`: all documents that were to be changed certainly are; `refused`: {id: the server's reason}."""

    everything: bool
    refused: Mapping[Any, str]


async def apply_change(
    collection: Collection, query: Mapping[str, Any], ids: Sequence[Any], change: DealChange
) -> Changed:
    """Change those of `ids` that still match, and no other document."""
    # One document that the server refuses stops the whole update. Those changed before do not match a second time.
    changed = 0
    for meant_for, update in change.updates():
        wanted = {**query, "_id": {"$in": list(ids)}}
        try:
            changed += await collection.update_many({**wanted, **({"$and": [meant_for]} if meant_for else {})}, update)
        except WriteError:
            continue
        if changed == len(ids) or not meant_for:
            return Changed(everything=changed == len(ids), refused={})
    return Changed(everything=False, refused=await _change_apart(collection, query, ids, change))


async def _change_apart(
    collection: Collection, query: Mapping[str, Any], ids: Sequence[Any], change: DealChange
) -> dict[Any, str]:
    """{id: why} of the refused documents, found by halving the ids until each refused one is alone."""
    try:
        await collection.update_many({**query, "_id": {"$in": list(ids)}}, change.expressions())
    except WriteError as error:
        if len(ids) == 1:
            return {ids[0]: _why(error, change)}
        middle = len(ids) // 2
        first = await _change_apart(collection, query, ids[:middle], change)
        return first | await _change_apart(collection, query, ids[middle:], change)
    return {}


def _why(error: WriteError, change: DealChange) -> str:
    if error.code == NO_OBJECT:
        # The server's message would quote what stands there.
        return f"nothing can be set below what is no object: {', '.join(change.parents)}"
    if isinstance(error, DuplicateKeyError):
        # The server's message would quote the other document.
        fields = (error.details or {}).get("keyPattern", {})
        return f"another deal has the same {', '.join(fields)}"
    return str((error.details or {}).get("errmsg"))
