"""Funnels that are to be cloned. The state of a clone stands in its own funnel document, under `clone`.

A clone is first due; then a run plans it; then it is planned, and runs work off its steps while none holds the funnel
itself; then it is over. The CRM and older engines see `pending` and `in_progress` of that.
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
from pipeline_engine.repos.due_clones import CANCEL_REQUESTED, due_clones
from pipeline_engine.repos.expressions import ahead, whole
from pipeline_engine.repos.lease import FREE, RELEASED
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, listing, number, text

HALF_AN_HOUR_SECONDS = 1800
# A plan that lacks one of these was not written by the engine: such a clone is planned anew.
HAS_PLAN: Document = {
    "$and": [
        {"$eq": [{"$type": "$clone"}, "object"]},
        {"$eq": ["$clone.planned", True]},
        {"$isArray": "$clone.source_steps"},
        *({"$isNumber": field} for field in ("$token", "$clone.steps_total", "$clone.attempts")),
    ]
}
NOT_PLANNED: Document = {"$expr": {"$not": [HAS_PLAN]}}
# Steps of a plan are worked off only while the clone is in progress, so without that the plan counts for nothing.
IS_DUE: Document = {"$or": [{"pending": True, "in_progress": {"$ne": True}}, {"in_progress": True, **NOT_PLANNED}]}
PLANNED: Document = {"in_progress": True, "clone.planned": True, "$expr": HAS_PLAN}
IS_OVER: Document = {"$eq": [{"$type": "$clone.finished_at"}, "date"]}
NO_FAILURES: Document = {"clone.failures": 0, "clone.crashes": 0}
NUMBERS = ("steps_total", "steps_done", "images", "forms", "attempts", "failures", "crashes", "generation")

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
            "clones that run for over half an hour",
            {"in_progress": True, "clone.planned": True, **longer_ago("$clone.started_at", HALF_AN_HOUR_SECONDS)},
        ),
    ),
    has_events_due=True,
    own={
        **dict.fromkeys(("lease_until", "updatedAt", "flag_seen_at"), date),
        "token": number,
        "lease_owner": text,
        "clone": fields,
        "events_due": listing,
        **dict.fromkeys((f"clone.{name}" for name in ("started_at", "finished_at", "next_at")), date),
        **dict.fromkeys((f"clone.{name}" for name in NUMBERS), number),
        "clone.source_steps": listing,
        "clone.warnings": listing,
        "clone.manifest": fields,
        "clone.error": text,
    },
)


class Funnels(Leased):
    spec = FUNNELS
    due: ClassVar[Document] = IS_DUE
    running: ClassVar[Document] = {"in_progress": True}
    crashes = "clone.crashes"

    @property
    def claimable(self) -> Document:
        """Clones that are due and held by no run or older engine; and those to cancel, whatever an older engine's flag
        says."""
        return {"$or": [{**CANCEL_REQUESTED, "$and": [FREE]}, {"$and": [self.due, self.unclaimed]}]}

    @property
    def due_flagged(self) -> Document:
        return {}

    def claim_changes(self) -> Document:
        """A clone that was over and is requested again starts a new generation: new event ids, and no run counted."""
        is_date = {"$eq": [{"$type": "$clone.started_at"}, "date"]}
        goes_on = {"$and": [is_date, {"$not": [IS_OVER]}]}
        return {
            "pending": True,
            "clone.planned": False,
            "clone_failed": "$$REMOVE",
            "original_funnel_deleted": "$$REMOVE",
            "clone.next_at": "$$REMOVE",
            "clone.started_at": {"$cond": [goes_on, "$clone.started_at", "$$NOW"]},
            "clone.finished_at": None,
            "clone.generation": {"$add": [whole("$clone.generation"), {"$cond": [IS_OVER, 1, 0]}]},
            "clone.attempts": {"$cond": [IS_OVER, 0, whole("$clone.attempts")]},
        }

    def _held(self, held: Mapping[str, Any]) -> Document:
        """As in `Leased`, and still as far planned: steps are worked off under the token of the run that planned
        them."""
        return {**super()._held(held), "clone.planned": held["clone"].get("planned")}

    async def find_due(self, limit: int, resting: bool = False) -> list[Document]:
        """At most `limit` clones, as `{_id, account_id}`, that a run should claim now.

        Clones to cancel come first. Then accounts take turns, each with at most `limit` clones under way; within an
        account the oldest comes first and those with a failed run last. A clone that rests after a failed run is found
        only with `resting`, one whose original is itself due or under way not at all: its pages are still empty.
        """
        await self.note_legacy_flags()
        rested = {"$or": [{"clone.next_at": None}, {"$expr": {"$not": [ahead("$clone.next_at")]}}]}
        now = [] if resting else [{"$or": [CANCEL_REQUESTED, rested]}]
        available = await self.available()
        begin = {"$and": [self.claimable, available, *now]}
        under_way = {"in_progress": True, "$nor": [begin], **available}
        return await self._all.aggregate(begin, *due_clones(self._all.raw.name, under_way, limit))

    async def count_claimed(self) -> int:
        """How many clones a run is planning, or an older engine is at work on."""
        return await self._all.count({"in_progress": True, **NOT_PLANNED, "$nor": [self.unclaimed]})

    async def find_planned(self) -> list[Document]:
        """Planned clones that are not over, oldest first, whether or not a run is at work on their steps."""
        query = {"$and": [PLANNED, await self.available()]}
        return await self._all.find(query, sort=[("_id", 1)], projection=["account_id"])

    async def find_abandoned(self) -> list[Document]:
        """Clones whose process died while it planned them or cleared them away, oldest first."""
        begun = {"in_progress": True, "lease_until": {"$ne": None}, **NOT_PLANNED}
        query = {**begun, "$and": [FREE, await self.available()]}
        return await self._all.find(query, sort=[("_id", 1)], projection=["account_id"])

    async def hand_to_steps(self, held: Mapping[str, Any]) -> Document | None:
        """Mark the clone as planned and release it, so that its steps are worked off.

        None when another run has it now.
        """
        return await self.change(held, {**RELEASED, "clone.planned": True, **NO_FAILURES})

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Which attempt of the present run this is, counted from 1."""
        return int(held["clone"].get("failures", 0)) + 1

    def crashes_of(self, held: Mapping[str, Any]) -> int:
        """How many holders in a row died while they planned."""
        return int(held["clone"]["crashes"])

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the clone for another attempt at planning, and count the failed one."""
        await self.release(held, {"clone.failures": self.attempt_of(held), "clone.error": error})

    async def schedule_next_run(self, seen: Mapping[str, Any], seconds: float, values: Document) -> Document | None:
        """End this run of the clone, which failed; the next is due in `seconds`.

        None when another run has the clone now.
        """
        next_at = {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(seconds * 1000)}}
        state = {"in_progress": False, "pending": True, "clone.planned": False, **NO_FAILURES}
        return await self.change(seen, {**values, **RELEASED, **state}, **{"clone.next_at": next_at})

    async def end(
        self, seen: Mapping[str, Any], events_due: Sequence[Document], values: Document, error: str | None = None
    ) -> Document | None:
        """End a clone, however it went, in one update: its flags, its figures (`values`) and the events to publish.

        `error` goes into the list `error` that the CRM shows. None when another run has ended or claimed the clone."""
        state = {"in_progress": False, "pending": False, "clone.planned": False, **NO_FAILURES}
        due = {"events_due": list(events_due)}
        expressions: Document = {"clone.cancel_requested": "$$REMOVE", "clone.finished_at": "$$NOW"}
        expressions |= {"error": _with_text("error", error)} if error else {}
        return await self.change(seen, {**values, **state, **due, **RELEASED}, **expressions)

    async def save_progress(self, seen: Mapping[str, Any], steps_done: int) -> None:
        """Store how many steps are done; the changed `updatedAt` also shows older engines that the clone is alive."""
        await self.change(seen, {"clone.steps_done": steps_done})

    async def count_under_way(self, account_id: Any, but: ObjectId) -> int:
        """How many of the account's clones are being planned or worked off; the funnel `but` is not counted."""
        return await self._own.count({"account_id": account_id, "in_progress": True, "_id": {"$ne": but}})

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        """At most `limit` funnels that are clones or are to become one, the newest first."""
        query: Document = {"original_funnel_id": {"$exists": True}}
        query |= {"account_id": either(account_id)} if account_id else {}
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def request_cancel(self, funnel_id: ObjectId) -> Document | None:
        """Request the end of a clone; the next run that claims it ends it.

        None when it was completed or cancelled, or is no clone.
        """
        open_or_failed = [{"pending": True}, {"in_progress": True}, {"clone_failed": True}]
        update = [{"$set": {"clone.cancel_requested": True, "pending": True, "updatedAt": "$$NOW"}}]
        return await self._all.find_one_and_update({"_id": funnel_id, "$or": open_or_failed}, update)

    async def retry(self, funnel_id: ObjectId) -> Document | None:
        """Make a clone due now that failed, was cancelled or rests. None when none of these is true."""
        ended_badly = {"in_progress": {"$ne": True}, "clone.error": {"$type": "string"}}
        update = [{"$set": {"pending": True, "clone.next_at": "$$REMOVE", "updatedAt": "$$NOW"}}]
        return await self._all.find_one_and_update({"_id": funnel_id, **ended_badly}, update)


def _with_text(field: str, text: str) -> Document:
    """An expression: the list in the field, or an empty one, with the text in it once."""
    there = {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}
    new = [{"$literal": text}]
    return {"$concatArrays": [there, {"$cond": [{"$in": [*new, there]}, [], new]}]}
