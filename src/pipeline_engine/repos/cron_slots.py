"""Slots of scheduled jobs (`cron_slots`): one row per job, account and slot, from `due` to done, failed or skipped.

A run inserts the row and claims it, so a slot without a row has not begun. Rows are kept for 30 days.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec, index
from pipeline_engine.repos.expressions import ahead, whole
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, flag, number, text
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=30)
IS_DUE: dict[str, object] = {"partialFilterExpression": {"state": "due"}}
MAX_OTHERS = 20
TEXT: Document = {"$type": "string"}
BY_SLOT: Document = {"$sort": {"slot": 1}}

CRON_SLOTS = CollectionSpec(
    "cron_slots",
    indexes=(
        index("job", "slot", "state", "account_id"),
        index("job", "account_id", "slot"),
        index("state", "job", **IS_DUE),
        LEASE_OWNER_INDEX,
        EXPIRY_INDEX,
    ),
    lease=LeaseSpec(),
    own={
        **dict.fromkeys(("lease_until", "next_at", "started_at", "ended_at", "expires_at"), date),
        **dict.fromkeys(("token", "crashes", "attempts", "claims"), number),
        **dict.fromkeys(("lease_owner", "error"), text),
        "is_once": flag,
        **dict.fromkeys(("counts", "cursor"), fields),
    },
)


class CronSlots(Leased):
    """`is_once` marks runs that an operator asked for: they belong to no slot of a schedule."""

    spec = CRON_SLOTS
    running: ClassVar[Document] = {"state": "due"}

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    @property
    def claimable(self) -> Document:
        """Due rows that no run holds and whose next attempt is due."""
        now = self._clock.now()
        return {"$and": [{"state": "due"}, {"$or": [{"next_at": None}, {"next_at": {"$lte": now}}]}, self.unclaimed]}

    def claim_changes(self) -> Document:
        counted = {name: {"$add": [whole(f"${name}"), 1]} for name in ("attempts", "claims")}
        return {**counted, "started_at": {"$ifNull": ["$started_at", "$$NOW"]}}

    async def open(self, id: str, job: str, account_id: ObjectId, slot: str, is_once: bool) -> None:
        """Insert the row if it is missing, as a run does before it claims it."""
        own = {"_id": id, "job": job, "account_id": account_id, "slot": slot, "state": "due", "attempts": 0}
        own |= {"is_once": True} if is_once else {}
        await self._own.insert_missing([{**own, "expires_at": self._clock.now() + RETENTION}])

    async def accounts_by_slot(self, job: str, slots: Collection[str], state: object = None) -> dict[str, set[Any]]:
        """{slot: the accounts that have a row of it}, of the job; only rows that match `state` if given."""
        query = {"job": job, "slot": {"$in": sorted(slots)}, **({"state": state} if state else {})}
        found = await self._all.aggregate(query, {"$group": {"_id": "$slot", "accounts": {"$push": "$account_id"}}})
        return {one["_id"]: set(one["accounts"]) for one in found}

    async def open_rows(self, job: str) -> list[Document]:
        """`{account_id, slot, is_free}` of the due rows of the job's schedule, the oldest slot first."""
        query = {"state": "due", "job": job, "is_once": None, "slot": TEXT}
        waits = {"$gt": ["$next_at", self._clock.now()]}
        is_free = {"$not": [{"$or": [ahead("$lease_until"), waits]}]}
        return await self._all.aggregate(query, {"$project": {"account_id": 1, "slot": 1, "is_free": is_free}}, BY_SLOT)

    async def find_free(self, limit: int) -> list[Document]:
        """`{account_id}` of due rows of any job's schedule that may be claimed now: a run had begun, and its process
        ended, or its job waits in a lane."""
        query = {"$and": [self.claimable, {"is_once": None}, await self.available()]}
        return await self._all.find(query, limit=limit, projection=["account_id"])

    async def others(self, held: Mapping[str, Any]) -> list[Document]:
        """Other rows of the job and account that are due, or of a later slot: `{slot, state, is_once, is_held}`."""
        later = {"slot": {"$gt": held["slot"]}, "is_once": None}
        query = {"job": held["job"], "account_id": held["account_id"], "_id": {"$ne": held["_id"]}}
        shown = {"slot": 1, "state": 1, "is_once": 1, "is_held": ahead("$lease_until")}
        wanted = {**query, "slot": TEXT, "$or": [{"state": "due"}, later]}
        return await self._own.aggregate(wanted, {"$limit": MAX_OTHERS}, {"$project": shown})

    async def end(self, held: Mapping[str, Any], state: str, **values: Any) -> Document | None:
        """End the row; None when another run has it now."""
        return await self.release(held, {**values, "state": state, "next_at": None}, ended_at="$$NOW")

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """As `Leased.put_off`; the next attempt is due in so many seconds."""
        await self.release(held, {"error": error, "next_at": self._clock.now() + timedelta(seconds=seconds)})

    async def history(self, job: str, account_id: ObjectId | None, limit: int) -> Sequence[Document]:
        """The rows of the job, of one account or of all, the last begun first."""
        mine = {"account_id": account_id} if account_id else {}
        return await self._all.find({"job": job, **mine}, limit=limit, sort=[("started_at", -1)])
