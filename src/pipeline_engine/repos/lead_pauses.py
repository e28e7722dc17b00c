"""Pauses of lead pipelines: `automation_paused` on an account, a pipeline or a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

PIPELINES = CollectionSpec(
    "pipelines",
    indexes=(index("account_id", **having("automation_paused")),),
    wakes=(changed("automation_paused"),),
)
SCOPES = {"stage": "pipeline_stages", "pipeline": "pipelines", "account": "_accounts"}
"""What can be paused, and its collection."""


class LeadPauses:
    def __init__(self, store: Store) -> None:
        self._collections = {scope: store.collection(name) for scope, name in SCOPES.items()}
        self._lead_stages = store.collection("lead_stages")

    async def of_account(self, account_id: ObjectId) -> list[Document]:
        """{scope, _id, automation_paused} of everything of the account that is paused, or whose pause has ended and
        was not made up for."""
        match, *shown = _in_scope("stage", account_id)
        others = [
            {"$unionWith": {"coll": SCOPES[scope], "pipeline": _in_scope(scope, account_id)}}
            for scope in ("pipeline", "account")
        ]
        return await self._collections["stage"].aggregate(match["$match"], *shown, *others)

    async def set(self, account_id: ObjectId, scope: str, id: Any, pause: Document | None, since: Any = None) -> bool:
        """Store the pause, or remove it; with `since` only while that one stands there. Returns whether it did."""
        query: Document = {"_id": either(id)} | ({} if scope == "account" else {"account_id": either(account_id)})
        if since is not None:
            query["automation_paused.since"] = since
        update = {"$set": {"automation_paused": pause}} if pause else {"$unset": {"automation_paused": ""}}
        return await self._collections[scope].everywhere.update_one(query, update) == 1

    async def not_made_up_for(
        self, account_id: ObjectId, where: Document, since: datetime, limit: int
    ) -> Sequence[Document]:
        """Active entries whose due time was not yet changed for the pause that began at `since`."""
        query = {"account_id": either(account_id), "status": "active", "pause_ended": {"$ne": since}, **where}
        return await self._lead_stages.find(query, limit=limit, projection=["perform_at", "opened_at"])

    async def make_up_for(
        self, account_id: ObjectId, since: datetime, times: Sequence[tuple[Mapping[str, Any], datetime]]
    ) -> None:
        """Set when these entries are due after the pause, unless their due time has changed since it was read."""
        writes = [
            UpdateOne(
                {"_id": one["_id"], "account_id": either(account_id), "perform_at": one.get("perform_at")},
                {"$set": {"perform_at": at, "pause_ended": since}},
            )
            for one, at in times
        ]
        if writes:
            await self._lead_stages.bulk(writes)

    async def stages(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """{stage id as text: its pipeline and its exits} of those of the account's stages that exist."""
        both = [form for id in ids for form in ({id, str(id)} | ({ObjectId(id)} if ObjectId.is_valid(id) else set()))]
        query = {"_id": {"$in": both}, "account_id": either(account_id)}
        found = await self._collections["stage"].find(query, projection=["pipeline_id", "exits", "name"])
        return {str(one["_id"]): one for one in found}


def _in_scope(scope: str, account_id: ObjectId) -> list[Document]:
    """A pipeline over the scope's collection."""
    own = {"_id" if scope == "account" else "account_id": either(account_id)}
    paused = {**own, "automation_paused": {"$exists": True, "$nin": [None, False]}}
    return [{"$match": paused}, {"$project": {"automation_paused": 1, "scope": {"$literal": scope}}}]
