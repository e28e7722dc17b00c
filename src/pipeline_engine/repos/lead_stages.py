"""Lead stages: one document for each time that a lead is in a stage, and the truth of its run there.

The rows of `lead_stage_actions` follow what stands here and are repaired from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    index,
    longer_ago,
)
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.lease import LEASE_EXPIRED
from pipeline_engine.repos.leased_in_batches import LeasedInBatches
from pipeline_engine.repos.own_fields import date, number, text
from pipeline_engine.repos.store import Store

HELD = "held: "
"""How `last_error` begins of an action that waits for the send window."""
OPEN = ("entering", "active")
"""The states of an entry whose run has not ended."""
HOUR_SECONDS = 3600
ENTRY_ORDER = [("moves", DESCENDING), ("entered_at", ASCENDING)]
"""Leads that a move brings hold a place already, so they go first; then the order of entry."""

LEAD_STAGES = CollectionSpec(
    "lead_stages",
    indexes=(
        index("status", "perform_at", "account_id", "current_lane"),
        index("account_id", "status", "current_lane", "perform_at"),
        IndexModel([("account_id", ASCENDING), ("status", ASCENDING), *ENTRY_ORDER]),
        index("account_id", "lead_id", "status"),
        index("stage_id", "status"),
        LEASE_OWNER_INDEX,
    ),
    lease=LeaseSpec(),
    wakes=(*became("status", "entering"), became("current_status", "pending")[1]),
    stuck=(
        StuckQuestion(
            "lead stages held for over an hour",
            {"lease_owner": {"$gt": ""}, **longer_ago("$claimed_at", HOUR_SECONDS)},
        ),
    ),
    own={
        **dict.fromkeys(("lease_until", "claimed_at", "started_at", "response_since"), date),
        **dict.fromkeys(("token", "crashes", "attempts", "moves", "current_sequence"), number),
        **dict.fromkeys(("lease_owner", "current_type", "current_lane", "current_status"), text),
    },
)


class LeadStages(LeasedInBatches):
    """Claimed one at a time or, as jobs do, many together."""

    spec = LEAD_STAGES
    due: ClassVar[Document] = {"status": {"$in": list(OPEN)}}

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    def claim_changes(self) -> Document:
        attempts = {"$add": [whole("$attempts"), {"$cond": [LEASE_EXPIRED, 0, 1]}]}
        return {"claim_id": None, "claimed_at": "$$NOW", "attempts": attempts}

    def batch_changes(self) -> Document:
        return {"started_at": {"$ifNull": ["$started_at", "$$NOW"]}}

    async def next_due_at(self, account_id: ObjectId, lane: str, where: Document) -> datetime | None:
        """When the next action of the lane that no run holds is due; None without one."""
        query = self._active(account_id, lane, where) | {
            "perform_at": {"$type": "date"},
            "$and": [self.unclaimed, await self.available()],
        }
        found = await self._own.find(query, limit=1, sort=[("perform_at", 1)], projection=["perform_at"])
        return usable_date(found[0].get("perform_at")) if found else None

    async def count_later(self, account_id: ObjectId, lane: str, type: str, now: datetime) -> int:
        """How many of the account's actions of the type are due later, but those that wait for the send window."""
        later = {"perform_at": {"$gt": now}, "current_type": type, "last_error": {"$not": {"$regex": f"^{HELD}"}}}
        return await self._own.count(self._active(account_id, lane, later))

    async def count_active(self, account_id: ObjectId, most: int) -> int:
        """How many leads of the account are in running automation, counted up to `most`."""
        return await self._own.count({"account_id": either(account_id), "status": "active"}, limit=most)

    async def any_entering(self, account_id: ObjectId, where: Document) -> bool:
        """Whether a lead of the account waits to be let in."""
        query = {"account_id": either(account_id), "status": "entering", **where}
        free = {"$and": [self.unclaimed, await self.available()]}
        return await self._own.find_one({**query, **free}, projection=["_id"]) is not None

    async def claim_due(self, account_id: ObjectId, lane: str, limit: int, where: Document) -> list[Document]:
        """Claim up to `limit` entries of the account whose action of this lane is due, the longest due first."""
        query = self._active(account_id, lane, where) | {"perform_at": {"$lte": self._clock.now()}}
        return await self.claim_many(account_id, query, limit, [("perform_at", 1)])

    async def claim_entering(self, account_id: ObjectId, limit: int, where: Document) -> list[Document]:
        """Claim up to `limit` leads of the account that wait to be let in, in their order."""
        query = {"account_id": either(account_id), "status": "entering", **where}
        return await self.claim_many(account_id, query, limit, ENTRY_ORDER)

    async def claim_abandoned(self, account_id: ObjectId, limit: int) -> list[Document]:
        """Claim entries whose run has ended and whose holder died before the rows of its actions said so."""
        query = {"lease_owner": {"$gt": ""}, "account_id": either(account_id), "status": {"$nin": list(OPEN)}}
        return await self.claim_many(account_id, query, limit, None)

    async def states_of(self, ids: Sequence[Any]) -> list[Document]:
        """What says how far these entries are, of any account."""
        fields = ["status", "current_status", "perform_at", "lease_owner"]
        return await self._all.find({"_id": {"$in": list(ids)}}, projection=fields)

    async def enter(self, documents: Sequence[Document]) -> None:
        """Insert entries with status `entering`, as the CRM does; one whose `_id` is there already stays as it is."""
        await self._own.insert_missing(documents)

    async def find_open(self, account_id: ObjectId, leads: Sequence[Any], *fields: str) -> list[Document]:
        """The entries of these leads whose run has not ended."""
        query = {"account_id": either(account_id), "lead_id": {"$in": list(leads)}, "status": {"$in": list(OPEN)}}
        return await self._own.find(query, projection=list(fields) or None)

    async def of_lead(self, account_id: ObjectId, lead_id: ObjectId) -> list[Document]:
        """All entries of the lead, the newest first."""
        query = {"account_id": either(account_id), "lead_id": either(lead_id)}
        return await self._own.find(query, sort=[("_id", -1)])

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the entry; its action is due again after `seconds`."""
        await self.release(held, {"perform_at": self._clock.now() + timedelta(seconds=seconds), "error": error})

    def _active(self, account_id: ObjectId, lane: str, where: Document) -> Document:
        return {"account_id": either(account_id), "status": "active", "current_lane": lane, **where}
