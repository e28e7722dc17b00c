"""Funnels that are to be cloned. The truth of a clone's state stands in its own funnel document, under `clone`.

A clone is due, then planned (its steps are worked off, nobody holds it), then over. `pending` and `in_progress` are
what the CRM and older engines see of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.lease import FREE, LEASE_EXPIRED, RELEASED, Lease, unclaimed

ASKED_TO_END: Document = {"clone.cancel_requested": True}
NOT_PLANNED: Document = {"clone.planned": {"$ne": True}}
BEGINS: Document = {"$or": [{"pending": True}, {"in_progress": True}], **NOT_PLANNED, **unclaimed("in_progress")}
DUE: Document = {"$or": [{**ASKED_TO_END, "$and": [FREE]}, BEGINS]}
PLANNED: Document = {"in_progress": True, "clone.planned": True}
OVER: Document = {"$ne": [{"$ifNull": ["$clone.finished_at", None]}, None]}

CLAIMED: Document = {
    "in_progress": True,
    "pending": True,
    "clone.planned": False,
    "clone_failed": "$$REMOVE",
    "original_funnel_deleted": "$$REMOVE",
    "clone.next_at": "$$REMOVE",
    "clone.started_at": {"$cond": [OVER, "$$NOW", {"$ifNull": ["$clone.started_at", "$$NOW"]}]},
    "clone.finished_at": None,
    # Somebody wants it once more: its events are others, and all its runs lie before it.
    "clone.generation": {"$add": [{"$ifNull": ["$clone.generation", 0]}, {"$cond": [OVER, 1, 0]}]},
    "clone.attempts": {"$cond": [OVER, 0, {"$ifNull": ["$clone.attempts", 0]}]},
    "clone.crashes": {"$add": [{"$ifNull": ["$clone.crashes", 0]}, {"$cond": [LEASE_EXPIRED, 1, 0]}]},
}


class Funnels:
    def __init__(self, collection: Collection, lease: Lease) -> None:
        self._all = collection.everywhere
        self._own = collection
        self._lease = lease

    async def due(self, limit: int, resting: bool = False) -> list[Document]:
        """`{_id, account_id}` of clones that somebody should claim now.

        No account has a second one under way while another waits, nor more than `limit` at any time; then the oldest
        come first, those that failed once last. Those that rest after a failed run only come when they are asked for;
        those that are to be cancelled come before all.
        """
        await self._note_foreign_flags()
        rested = {"$or": [{"clone.next_at": None}, {"$expr": {"$lte": ["$clone.next_at", "$$NOW"]}}]}
        begin = {"$and": [DUE] if resting else [DUE, {"$or": [ASKED_TO_END, rested]}]}
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

    async def _note_foreign_flags(self) -> None:
        unseen = {"in_progress": True, "lease_until": None, "updatedAt": None, "flag_seen_at": None}
        await self._all.update_many(unseen, [{"$set": {"flag_seen_at": "$$NOW"}}])

    async def count_held(self) -> int:
        """How many clones somebody plans, or an older engine is at work on."""
        return await self._all.count({"in_progress": True, **NOT_PLANNED, "$nor": [unclaimed("in_progress")]})

    async def planned(self) -> list[Document]:
        """Clones whose steps are being worked off, as far as anybody does."""
        return await self._all.find(PLANNED, sort=[("_id", 1)], projection=["account_id"])

    async def vanished(self) -> list[Document]:
        """Clones whose holder vanished while it planned them or cleared them away."""
        query = {"in_progress": True, **NOT_PLANNED, "lease_until": {"$ne": None}, **FREE}
        return await self._all.find(query, sort=[("_id", 1)], projection=["account_id"])

    async def claim(self, funnel_id: ObjectId) -> Document | None:
        """Take the funnel for this process, or None when it is not due or somebody else's."""
        return await self._all.take({"_id": funnel_id, **DUE}, self._lease.claim(**CLAIMED))

    async def change(
        self, seen: Mapping[str, Any], values: Document, expressions: Document | None = None
    ) -> Document | None:
        """Set fields, to literal values and to expressions, of a clone that nobody has taken or ended since it was
        read; None when somebody has."""
        query = {"_id": seen["_id"], "account_id": seen.get("account_id"), "token": seen["token"], "in_progress": True}
        planned = {"clone.planned": seen["clone"].get("planned")}
        literal = {name: {"$literal": value} for name, value in values.items()}
        update = {**literal, **(expressions or {}), "updatedAt": "$$NOW"}
        return await self._own.take({**query, **planned}, [{"$set": update}])

    async def hand_to_steps(self, held: Mapping[str, Any]) -> Document | None:
        """Planning is over: nobody holds the funnel while its steps are worked off."""
        return await self.change(held, {**RELEASED, "clone.planned": True, "clone.failures": 0, "clone.crashes": 0})

    async def release(self, held: Mapping[str, Any], values: Document) -> Document | None:
        """Let go of it for whoever claims it next."""
        return await self.change(held, {**values, **RELEASED, "in_progress": False})

    async def put_off(self, seen: Mapping[str, Any], seconds: float, values: Document) -> Document | None:
        """This run is over, the next one comes after its rest."""
        rest = {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(seconds * 1000)}}
        state = {"in_progress": False, "pending": True, "clone.planned": False, "clone.failures": 0, "clone.crashes": 0}
        return await self.change(seen, {**values, **RELEASED, **state}, {"clone.next_at": rest})

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
        return await self.change(seen, {**values, **state, **told, **RELEASED}, expressions)

    async def tell_progress(self, seen: Mapping[str, Any], steps_done: int) -> None:
        """How far it is; also a sign of life for older engines."""
        await self.change(seen, {"clone.steps_done": steps_done})

    async def get(self, funnel_id: Any) -> Document | None:
        return await self._all.find_one({"_id": funnel_id})

    async def states(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """{_id: in_progress and clone} of those that are there."""
        wanted = {"in_progress": 1, "clone": 1}
        return {one["_id"]: one for one in await self._all.find({"_id": {"$in": list(ids)}}, projection=wanted)}

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

    async def with_events_due(self, limit: int) -> list[Document]:
        query = {"events_due.event_id": {"$exists": True}}
        return await self._all.find(query, limit=limit, projection=["account_id", "events_due"])

    async def events_told(self, document: Document) -> None:
        """Forget the events that were due when `document` was read."""
        account_id, due = document.get("account_id"), document["events_due"]
        query = {"_id": document["_id"], "account_id": account_id, "events_due": due}
        await self._own.update_one(query, {"$unset": {"events_due": ""}})


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
