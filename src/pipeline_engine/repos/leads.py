"""Leads as lead pipelines use them. `lead_stage_id` and `engine_sequence` are the engine's: the entry that runs, and
the last action that changed the lead in it, so that a repeated action changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.bulk_change import Changed, apply_change
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.deal_change import DealChange
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.store import Store

LEADS = CollectionSpec(
    "leads",
    indexes=(
        index("email", "account_id", collation=WITHOUT_CASE),
        index("phone", "account_id"),  # an inbound text names no account
        index("status", **having("lead_stage_id")),
    ),
    wakes=(became("status", "won")[1], became("status", "lost")[1]),
)
BRIEF = ("status", "lead_stage_id", "engine_sequence", "timezone", "owner", "created_by", "name", "email", "phone")
"""The fields of a lead that decide what happens to it; it may have megabytes of others."""


class Leads:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(LEADS)

    async def brief(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """{lead id as text: the fields `BRIEF`} of those of the leads that exist."""
        found = await self._own.find(self._query(account_id, ids), projection=list(BRIEF))
        return {str(one["_id"]): one for one in found}

    async def full(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """As `brief`, with every field, for templates."""
        return {str(one["_id"]): one for one in await self._own.find(self._query(account_id, ids))}

    async def set_stage(self, account_id: ObjectId, entries: Sequence[tuple[Any, Mapping[str, Any]]]) -> None:
        """Write into each lead the stage and pipeline that it is in now, and the entry that runs: pairs of a lead's
        `_id`, as it is stored, and its entry."""
        now, seen = {"$currentDate": {"updatedAt": True}}, {"exit_seen": ""}
        writes = [
            UpdateOne(
                {"_id": {"$eq": lead_id}, "account_id": either(account_id), "lead_stage_id": {"$ne": one["_id"]}},
                {
                    "$set": {**_place(one), "lead_stage_id": one["_id"], "engine_sequence": None},
                    "$unset": seen,
                    **now,
                },
            )
            for lead_id, one in entries
        ]
        if writes:
            await self._own.bulk(writes)

    async def apply_change(
        self, account_id: ObjectId, entries: Sequence[Mapping[str, Any]], sequence: int, change: DealChange
    ) -> Changed:
        """Change the leads of these entries, unless the action of this sequence number has changed them already."""
        ids = [form for one in entries for form in _forms(one["lead_id"])]
        mine = {"lead_stage_id": {"$in": [one["_id"] for one in entries]}, "engine_sequence": {"$ne": sequence}}
        query = {"account_id": either(account_id), **mine}
        return await apply_change(self._own, query, ids, change | DealChange(set={"engine_sequence": sequence}))

    async def by_address(self, account_id: ObjectId, addresses: Sequence[str]) -> list[Any]:
        """The ids of the account's leads with one of these e-mail addresses, in any case, or telephone numbers."""
        mine, known = {"account_id": either(account_id)}, {"$in": list(addresses)}
        by_email = await self._own.find({**mine, "email": known}, projection=["_id"], collation=WITHOUT_CASE)
        by_phone = await self._own.find({**mine, "phone": known}, projection=["_id"])
        ids = [one["_id"] for one in by_email]
        return [*ids, *(one["_id"] for one in by_phone if one["_id"] not in ids)]

    def _query(self, account_id: ObjectId, ids: Sequence[Any]) -> Document:
        return {"_id": {"$in": [form for id in ids for form in _forms(id)]}, "account_id": either(account_id)}


def _place(entry: Mapping[str, Any]) -> Document:
    """Where a lead of this entry is. One that names no pipeline leaves the lead in its own."""
    names = ("stage_id", "pipeline_id") if object_id(entry.get("pipeline_id")) else ("stage_id",)
    return {name: entry[name] for name in names}


def _forms(id: Any) -> tuple[Any, ...]:
    return (id, str(id)) if isinstance(id, ObjectId) else (id, ObjectId(id)) if ObjectId.is_valid(id) else (id,)
