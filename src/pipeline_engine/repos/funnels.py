"""Funnels that are to be cloned. The truth of a clone's state stands in its own funnel document, under `clone`.

A clone is due, then planned (its steps are worked off, nobody holds it), then over. `pending` and `in_progress` are
what the CRM and older engines see of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import became, changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    EVENTS_DUE_INDEX,
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    having,
    index,
    longer_ago,
)
from pipeline_engine.repos.lease import FREE, RELEASED
from pipeline_engine.repos.leased import Leased

HALF_AN_HOUR = 1800
ASKED_TO_END: Document = {"clone.cancel_requested": True}
NOT_PLANNED: Document = {"clone.planned": {"$ne": True}}
BEGINS: Document = {"$or": [{"pending": True}, {"in_progress": True}], **NOT_PLANNED}
PLANNED: Document = {"in_progress": True, "clone.planned": True}
OVER: Document = {"$ne": [{"$ifNull": ["$clone.finished_at", None]}, None]}

FUNNELS = CollectionSpec(
    "funnels",
    indexes=(
        index("pending", "updatedAt", partialFilterExpression={"pending": True}),
        index("in_progress", "updatedAt", partialFilterExpression={"in_progress": True}),
        index("clone.cancel_requested", **having("clone.cancel_requested")),
        LEASE_OWNER_INDEX,
        EVENTS_DUE_INDEX,
    ),
    lease=LeaseSpec(flag="in_progress"),
    wakes=(*became("pending", True), changed("in_progress")),  # a clone that ends makes room for the next
    stuck=(
        StuckQuestion(
            "clones that run for over half an hour", {**PLANNED, **longer_ago("$clone.started_at", HALF_AN_HOUR)}
        ),
    ),
    has_events_due=True,
)


class Funnels(Leased):
    spec = FUNNELS
    due: ClassVar[Document] = BEGINS
    running: ClassVar[Document] = {"in_progress": True}
    crashes = "clone.crashes"

    @property
    def claimable(self) -> Document:
        """Clones that are to begin, or to be cancelled, which an older engine's flag does not hold up."""
        return {"$or": [{**ASKED_TO_END, "$and": [FREE]}, {"$and": [self.due, self.unclaimed]}]}

    @property
    def due_flagged(self) -> Document:
        return {}

    def claim_changes(self) -> Document:
        """A clone that was over and is asked for once more gets other events, and all its runs lie before it."""
        return {
            "pending": True,
            "clone.planned": False,
            "clone_failed": "$$REMOVE",
            "original_funnel_deleted": "$$REMOVE",
            "clone.next_at": "$$REMOVE",
            "clone.started_at": {"$cond": [OVER, "$$NOW", {"$ifNull": ["$clone.started_at", "$$NOW"]}]},
            "clone.finished_at": None,
            "clone.generation": {"$add": [{"$ifNull": ["$clone.generation", 0]}, {"$cond": [OVER, 1, 0]}]},
            "clone.attempts": {"$cond": [OVER, 0, {"$ifNull": ["$clone.attempts", 0]}]},
        }

    def _held(self, held: Mapping[str, Any]) -> Document:
        """The token says who planned last; steps are worked off under it, while no run holds the funnel."""
        return {**super()._held(held), "clone.planned": held["clone"].get("planned")}

    async def find_due(self, limit: int, resting: bool = False) -> list[Document]:
        """`{_id, account_id}` of clones that somebody should claim now.

        No account has a second one under way while another waits, nor more than `limit` at any time; then the oldest
        come first, those that failed once last. Those that rest after a failed run only come when they are asked for;
        those that are to be cancelled come before all.
        """
        await self.note_legacy_flags()
        rested = {"$or": [{"clone.next_at": None}, {"$expr": {"$lte": ["$clone.next_at", "$$NOW"]}}]}
        begin = {"$and": [self.claimable] if resting else [self.claimable, {"$or": [ASKED_TO_END, rested]}]}
        under_way = [{"$match": {"in_progress": True, "$nor": [begin]}}, _in_order(waits=False)]
        turn = {
            "partitionBy": {"$toString": "$account_id"},
            "sortBy": {"order": 1},
            "output": {"turn": {"$documentNumber": {}}},
        }
        return await self._all.aggregate(
            begin,
            _in_order(waits=True),
            {"$unionWith": {"coll": self._all.raw.name, "pipeline": under_way}},
            {"$setWindowFields": turn},
            {"$match": {"$or": [{"asked": True}, {"order.waits": True, "turn": {"$lte": limit}}]}},
            {"$sort": {"asked": -1, "turn": 1, "order": 1}},
            {"$limit": limit},
        )

    async def count_claimed(self) -> int:
        """How many clones somebody plans, or an older engine is at work on."""
        return await self._all.count({"in_progress": True, **NOT_PLANNED, "$nor": [self.unclaimed]})

    async def planned(self) -> list[Document]:
        """Clones whose steps are being worked off, as far as anybody does."""
        return await self._all.find(PLANNED, sort=[("_id", 1)], projection=["account_id"])

    async def abandoned(self) -> list[Document]:
        """Clones whose holder vanished while it planned them or cleared them away."""
        query = {"in_progress": True, **NOT_PLANNED, "lease_until": {"$ne": None}, **FREE}
        return await self._all.find(query, sort=[("_id", 1)], projection=["account_id"])

    async def hand_to_steps(self, held: Mapping[str, Any]) -> Document | None:
        """Planning is over: nobody holds the funnel while its steps are worked off."""
        return await self.change(held, {**RELEASED, "clone.planned": True, "clone.failures": 0, "clone.crashes": 0})

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        return int(held["clone"].get("failures", 0)) + 1

    def crashes_of(self, held: Mapping[str, Any]) -> int:
        return int(held["clone"]["crashes"])

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Planning failed: release the clone for another attempt of this run."""
        await self.release(held, {"clone.failures": self.attempt_of(held), "clone.error": error})

    async def rest(self, seen: Mapping[str, Any], seconds: float, values: Document) -> Document | None:
        """This run is over, the next one comes after its rest."""
        rest = {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(seconds * 1000)}}
        state = {"in_progress": False, "pending": True, "clone.planned": False, "clone.failures": 0, "clone.crashes": 0}
        return await self.change(seen, {**values, **RELEASED, **state}, **{"clone.next_at": rest})

    async def end(
        self, seen: Mapping[str, Any], events_due: Sequence[Document], values: Document, complaint: str | None = None
    ) -> Document | None:
        """The one update that ends a clone, however it did: its flags, its figures, and what has to be told of it.

        `complaint` goes into the list `error` that the CRM shows. None when somebody else ended or took it."""
        state = {
            "in_progress": False,
            "pending": False,
            "clone.planned": False,
            "clone.failures": 0,
            "clone.crashes": 0,
        }
        told = {"events_due": list(events_due)}
        expressions: Document = {"clone.cancel_requested": "$$REMOVE", "clone.finished_at": "$$NOW"}
        expressions |= {"error": _added("error", complaint)} if complaint else {}
        return await self.change(seen, {**values, **state, **told, **RELEASED}, **expressions)

    async def tell_progress(self, seen: Mapping[str, Any], steps_done: int) -> None:
        """How far it is; also a sign of life for older engines."""
        await self.change(seen, {"clone.steps_done": steps_done})

    async def count_under_way(self, account_id: Any, but: ObjectId) -> int:
        """The account's clones that somebody plans or whose steps are worked off, one not counted."""
        return await self._own.count({"account_id": account_id, "in_progress": True, "_id": {"$ne": but}})

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        """Funnels that are clones or are to become one, the newest first."""
        query: Document = {"original_funnel_id": {"$exists": True}}
        query |= {"account_id": either(account_id)} if account_id else {}
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def request_cancel(self, funnel_id: ObjectId) -> Document | None:
        """Ask for the end; whoever claims it next ends it. None when it was completed or cancelled, or is no clone."""
        open_or_failed = [{"pending": True}, {"in_progress": True}, {"clone_failed": True}]
        update = [{"$set": {"clone.cancel_requested": True, "pending": True, "updatedAt": "$$NOW"}}]
        return await self._all.take({"_id": funnel_id, "$or": open_or_failed}, update)

    async def retry(self, funnel_id: ObjectId) -> Document | None:
        """Make a clone due now that failed, was cancelled or rests. None when it is none of these."""
        ended_badly = {"in_progress": {"$ne": True}, "clone.error": {"$type": "string"}}
        update = [{"$set": {"pending": True, "clone.next_at": "$$REMOVE", "updatedAt": "$$NOW"}}]
        return await self._all.take({"_id": funnel_id, **ended_badly}, update)


def _in_order(waits: bool) -> Document:
    """What is under way comes before what waits, and what failed once after what did not."""
    order = {"waits": {"$literal": waits}, "next_at": {"$ifNull": ["$clone.next_at", None]}, "_id": "$_id"}
    asked = {"$and": [waits, {"$eq": ["$clone.cancel_requested", True]}]}
    return {"$project": {"account_id": 1, "order": order, "asked": asked}}


def _added(field: str, text: str) -> Document:
    """The list with the text in it once, whatever the field was before."""
    there = {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}
    new = [{"$literal": text}]
    return {"$concatArrays": [there, {"$cond": [{"$in": [*new, there]}, [], new]}]}
