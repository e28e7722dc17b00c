"""Pauses of lead pipelines: `automation_paused` on an account, a pipeline or a stage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

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
        """{scope, id, since, until?, waits?} of everything of the account that is paused, or whose pause has ended and
        was not made up for."""
        found = await asyncio.gather(*(self._in_scope(scope, account_id) for scope in SCOPES))
        return [pause for pauses in found for pause in pauses]

    async def _in_scope(self, scope: str, account_id: ObjectId) -> list[Document]:
        own = {"_id" if scope == "account" else "account_id": either(account_id)}
        query = {**own, "automation_paused": {"$type": "object"}}
        collection = self._collections[scope]
        paused = await (collection.everywhere if scope == "account" else collection).find(
            query, projection=["automation_paused"]
        )
        return [{**one["automation_paused"], "scope": scope, "id": one["_id"]} for one in paused]

    async def set(self, account_id: ObjectId, scope: str, id: Any, pause: Document | None, since: Any = None) -> bool:
        """Store the pause, or remove it; with `since` only while that one stands there. Returns whether it did."""
        query: Document = {"_id": either(id)} | ({} if scope == "account" else {"account_id": either(account_id)})
        if since is not None:
            query["automation_paused.since"] = since
        update = {"$set": {"automation_paused": pause}} if pause else {"$unset": {"automation_paused": ""}}
        return await self._collections[scope].everywhere.update_one(query, update) == 1

    async def due_in(self, account_id: ObjectId, where: Document, since: datetime, limit: int) -> Sequence[Document]:
        """`_id` and `perform_at` of active entries that were due at `since` or later, or are waiting, and that were not
        made up for this pause."""
        query = {"account_id": either(account_id), "status": "active", "pause_ended": {"$ne": since}, **where}
        return await self._lead_stages.find(query, limit=limit, projection=["perform_at", "current_type"])
