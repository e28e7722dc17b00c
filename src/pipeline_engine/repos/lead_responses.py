"""Replies of leads (`lead_responses`), which the CRM inserts, and what else ends a wait: tasks that are done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED, became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.expressions import STRANGE_ACCOUNT, id_or_none
from pipeline_engine.repos.store import Store

BY_ACCOUNT: Document = {"$group": {"_id": id_or_none("$account_id")}}
LEAD_RESPONSES = CollectionSpec(
    "lead_responses",
    indexes=(index("handled_at", "account_id"), index("account_id", "lead_id", "received_at")),
    wakes=(INSERTED,),
)
TASKS = CollectionSpec(
    "tasks",
    indexes=(index("status", "handled_at", **having("lead_stage_id")),),
    wakes=(became("status", "done")[1],),
)


class LeadResponses:
    """A response is handled once it has ended a wait or a run, or was seen while the lead waited for none."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(LEAD_RESPONSES)
        self._all = self._own.everywhere

    async def waiting_accounts(self) -> list[Any]:
        """The accounts with responses that are not handled; None for what is no id."""
        found = await self._all.aggregate({"handled_at": None}, BY_ACCOUNT)
        return [one["_id"] for one in found]

    async def pass_over_strange(self, now: datetime) -> None:
        """Take responses whose account is no id out of the sweep's sight: they belong to no lead."""
        await self._all.update_many({"handled_at": None, **STRANGE_ACCOUNT}, {"$set": {"handled_at": now}})

    async def unhandled(self, account_id: ObjectId, limit: int) -> list[Document]:
        """The account's responses that are not handled, in the order in which they came."""
        query = {"account_id": either(account_id), "handled_at": None}
        return await self._own.find(query, limit=limit, sort=[("_id", 1)], projection={"text": 0})

    async def since(self, account_id: ObjectId, leads: Sequence[Any], moment: datetime) -> list[Document]:
        """Responses of these leads that were received at `moment` or later, handled or not."""
        undated = {"received_at": None, "_id": {"$gte": ObjectId.from_datetime(moment)}}
        came: Document = {"$or": [{"received_at": {"$gte": moment}}, undated]}
        query = {"account_id": either(account_id), "lead_id": {"$in": list(leads)}, **came}
        return await self._own.find(query, sort=[("received_at", 1)], projection={"text": 0})

    async def mark_handled(self, account_id: ObjectId, ids: Sequence[Any], now: datetime) -> None:
        """Take the responses out of the sweep's sight."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "handled_at": None}
        await self._own.update_many(query, {"$set": {"handled_at": now}})

    async def reopen(self, account_id: ObjectId, leads: Sequence[Any], since: datetime) -> None:
        """Bring responses of these leads that were handled since then back into the sweep's sight: they were handled
        while no run waited for them, and one waits now."""
        forms = [form for id in leads for form in {id, str(id)} | ({ObjectId(id)} if ObjectId.is_valid(id) else set())]
        query = {"account_id": either(account_id), "lead_id": {"$in": forms}, "handled_at": {"$gte": since}}
        await self._own.update_many(query, {"$unset": {"handled_at": ""}})


class Tasks:
    """Tasks that actions of lead stages created."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(TASKS)

    async def done(self, account_id: ObjectId, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the tasks that are done."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "status": "done"}
        return {one["_id"] for one in await self._own.find(query, projection=["_id"])}

    async def waiting_accounts(self) -> list[Any]:
        """The accounts with tasks that are done and of which the engine has not taken notice; None for what is no
        id."""
        found = await self._own.everywhere.aggregate(self._unhandled, BY_ACCOUNT)
        return [one["_id"] for one in found]

    async def pass_over_strange(self, now: datetime) -> None:
        """Take tasks whose account is no id out of the sweep's sight."""
        await self._own.everywhere.update_many({**self._unhandled, **STRANGE_ACCOUNT}, {"$set": {"handled_at": now}})

    async def unhandled(self, account_id: ObjectId, limit: int) -> list[Document]:
        """The account's tasks that are done and of which the engine has not taken notice."""
        query = {"account_id": either(account_id), **self._unhandled}
        return await self._own.find(query, limit=limit, projection=["lead_stage_id"])

    async def mark_handled(self, account_id: ObjectId, ids: Sequence[Any], now: datetime) -> None:
        """Take the tasks out of the sweep's sight."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
        await self._own.update_many(query, {"$set": {"handled_at": now}})

    @property
    def _unhandled(self) -> Document:
        return {"lead_stage_id": {"$exists": True}, "status": "done", "handled_at": None}
