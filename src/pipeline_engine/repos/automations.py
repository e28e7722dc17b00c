"""Automations: the documents of `automations` with `module: 'DEAL'`, and the claims on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.accounts import ACCOUNTS
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    having,
    index,
    longer_ago,
)
from pipeline_engine.repos.expressions import ahead, exactly
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, flag, number, text
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.too_large import sized

HOUR = 3600
ACTIVE: Document = {"status": exactly("ACTIVE"), "module": exactly("DEAL")}

AUTOMATIONS = CollectionSpec(
    "automations",
    indexes=(
        index("status", "module"),
        index("account_id", "stage_id"),
        index("run.id", **having("run.id")),
        LEASE_OWNER_INDEX,
    ),
    lease=LeaseSpec(flag="is_running"),
    wakes=became("status", "ACTIVE"),
    stuck=(
        StuckQuestion(
            "automations that got nothing done for an hour",
            {"is_running": True, "lease_owner": {"$gt": ""}, **longer_ago("$updatedAt", HOUR)},
        ),
    ),
    own={
        **dict.fromkeys(("lease_until", "updatedAt", "flag_seen_at", "next_at", "paused_until"), date),
        **dict.fromkeys(("token", "crashes"), number),
        **dict.fromkeys(("lease_owner", "paused_reason"), text),
        **dict.fromkeys(("run", "watermark", "brake", "last_run"), fields),
        "run.id": text,
        "run.told": flag,
        "run.ended": flag,
        "watermark.shape": text,
        "watermark.settled_until": date,
        "watermark.looked_at": date,
    },
)


def _is_past(field: str) -> Document:
    """A filter: the time in the field has come, or there is none."""
    return {"$expr": {"$not": [ahead(f"${field}")]}}


NOT_PAUSED = _is_past("paused_until")
RESTED = _is_past("next_at")
# A run that has begun must be ended, also when the automation was switched off meanwhile.
HAS_RUN: Document = {"run.id": {"$exists": True}}
READY: Document = {**ACTIVE, **NOT_PAUSED}
# What says whether, when and for which deals an automation fires. Its texts may have megabytes.
FIRING = ["account_id", "type", "stage_id", "delay", "createdAt", "active_from", "reentry", "watermark", "run", "token"]


class Automations(Leased):
    spec = AUTOMATIONS
    due: ClassVar[Document] = {"$or": [READY, HAS_RUN]}

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._accounts = store.collection(ACCOUNTS).everywhere

    def claim_changes(self) -> Document:
        is_ours = {"$and": [{"$eq": [{"$type": "$run.id"}, "string"]}, {"$eq": [{"$type": "$run.told"}, "bool"]}]}
        return {"run": {"$cond": [is_ours, "$run", {"$literal": {"id": str(ObjectId()), "told": False}}]}}

    @property
    def due_flagged(self) -> Document:
        return ACTIVE

    async def find_ready(self) -> list[Document]:
        """Automations of active accounts that may run now, whether or not a deal matches: their fields `FIRING`, oldest
        first.

        One with a field `run` has begun: its run goes on or is ended, also where its account is not active."""
        await self.note_legacy_flags()
        return await self._find_ready({})

    async def find_ready_in(self, stages: Iterable[Any]) -> list[Document]:
        """As `find_ready`, only automations of these stages, given as ids or as strings."""
        ids = [one for stage in map(object_id, stages) if stage for one in (stage, str(stage))]
        return await self._find_ready({"stage_id": {"$in": ids}})

    async def _find_ready(self, where: Document) -> list[Document]:
        query = {**where, "$or": [READY, HAS_RUN], "$and": [self.unclaimed, RESTED, await self.available()]}
        found = await self._all.find(query, sort=[("_id", 1)], projection=FIRING)
        active = await self._active_accounts([one.get("account_id") for one in found])
        return [one for one in found if one.get("run") or str(one.get("account_id")) in active]

    async def find_abandoned(self) -> list[Document]:
        """Automations whose run waits for its next slice, or whose process died in the middle of one."""
        query = {**HAS_RUN, "$and": [self.unclaimed, RESTED, await self.available()]}
        return await self._all.find(query, projection=["account_id", "type"])

    async def _active_accounts(self, ids: Sequence[Any]) -> set[str]:
        known = {id for value in ids if (id := object_id(value))}
        query = {"_id": {"$in": [*known, *map(str, known)]}, "active": True}
        return {str(one["_id"]) for one in await self._accounts.find(query, projection=["_id"])}

    async def account_is_active(self, account_id: Any) -> bool:
        """Whether the account exists and is active."""
        return bool(await self._active_accounts([account_id]))

    async def is_on(self, account_id: ObjectId, automation_id: ObjectId) -> bool:
        """Whether the automation is switched on and its account is active."""
        on = self._own.find_one({"_id": automation_id, "account_id": either(account_id), **ACTIVE}, projection=["_id"])
        found, is_active = await asyncio.gather(on, self.account_is_active(account_id))
        return found is not None and is_active

    async def siblings(self, account_id: ObjectId, stage_id: ObjectId) -> list[Document]:
        """The automations of a stage that are switched on and not paused, with the fields `FIRING`."""
        query = {"account_id": either(account_id), "stage_id": either(stage_id)}
        return await self._own.find({**query, **READY}, projection=FIRING)

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Attempts in a row that ended in the middle, counting this one."""
        return int(held["crashes"]) + 1

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the automation and count a crash; the lane holds the pause until its next attempt."""
        await self.release(held, {"crashes": self.attempt_of(held)})

    async def reread(self, held: Mapping[str, Any]) -> Document | None:
        """The automation as it is now; None when another run has claimed it."""
        return await self._own.find_one(self._held(held))

    async def save_watermark(self, seen: Mapping[str, Any], mark: Mapping[str, Any]) -> None:
        """Store the watermark that a sweep found while no run held the automation, unless a run has claimed it since.

        Raises: TooLarge."""
        query = {"_id": seen["_id"], "account_id": seen.get("account_id"), "token": seen.get("token")}
        with sized(self.spec.name, seen["_id"]):
            await self._own.update_one({**query, **self.unclaimed}, {"$set": {"watermark": mark}})
