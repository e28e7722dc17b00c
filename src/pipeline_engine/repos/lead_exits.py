"""What ends the runs of leads from outside: suppressions, CRM events, meetings, and leads that were closed.

Each source is read on from a mark, so that what was read once costs nothing again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

OVERLAP = timedelta(minutes=2)
"""So much is read twice: documents do not become visible in the order of their ids, and clocks differ."""
FIRST_LOOK = timedelta(minutes=10)
"""How far back a source is read that was never read before."""
EVENT_TYPES = ("email.bounced", "deal.won")
CLOSED_LEADS: Document = {
    "status": {"$in": ["won", "lost"]},
    "lead_stage_id": {"$exists": True, "$ne": None},
    "exit_seen": None,
}

LEAD_EXIT_MARKS = CollectionSpec("lead_exit_marks")
ACTIVITIES = CollectionSpec(
    "activities",
    indexes=(
        index("account_id", "contact_id", "occurred_at", **having("contact_id")),
        index("account_id", "deal_id", "occurred_at", **having("deal_id")),
        index("account_id", "occurred_at"),
    ),
    wakes=({**INSERTED, "fullDocument.type": "meeting"},),
)
CALENDAR_EVENTS = CollectionSpec(
    "calendar_events", indexes=(index("account_id", "starts_at"), index("starts_at")), wakes=(INSERTED,)
)


@dataclass(frozen=True)
class Source:
    """A collection of which new documents may end runs; `order` is the field in whose order they come."""

    collection: str
    order: str
    query: Mapping[str, Any]


SOURCES = (
    Source("suppressions", "_id", {}),
    Source(
        "crm_events",
        "occurred_at",
        {"status": {"$in": ["new", "done", "dead"]}, "type": {"$in": list(EVENT_TYPES)}},
    ),
    Source("activities", "_id", {"type": "meeting"}),
    Source("calendar_events", "_id", {}),
)


class LeadExits:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks = store.collection(LEAD_EXIT_MARKS).everywhere
        self._leads = store.collection("leads")
        self._deals = store.collection("deals")

    async def anything_new(self) -> bool:
        """Whether a source has a document behind its mark, or a lead with an open run was won or lost."""
        if await self._leads.everywhere.find_one(CLOSED_LEADS, projection=["_id"]):
            return True
        for source in SOURCES:
            query = {**source.query, source.order: {"$gt": await self._mark(source)}}
            if await self._collection(source).find_one(query, projection=["_id"]):
                return True
        return False

    async def pages(self, source: Source, size: int) -> AsyncIterator[list[Document]]:
        """Documents of the source behind its mark, and a little before it, oldest first; the mark follows when a page
        was worked off."""
        mark = await self._mark(source)
        after, before = _earlier(mark), [{"_id": None}]
        while True:
            query = {**source.query, source.order: {"$gte": after}}
            page = await self._collection(source).find(query, limit=size, sort=[(source.order, 1), ("_id", 1)])
            if not page or page[-1]["_id"] == before[-1]["_id"]:
                return
            yield page
            await self._move_mark(source, page[-1][source.order])
            if len(page) < size:
                return
            after, before = page[-1][source.order], page

    async def _move_mark(self, source: Source, last: Any) -> None:
        # A document that claims to be of a later time must not hide those that come until then.
        now = self._store.clock.now()
        latest = ObjectId.from_datetime(now) if isinstance(last, ObjectId) else now
        if usable_date(last) or isinstance(last, ObjectId):
            seen = min(last, latest)
            await self._marks.update_one({"_id": source.collection}, {"$max": {"seen": seen}}, upsert=True)

    async def closed_leads(self, limit: int) -> list[Document]:
        """Leads of all accounts with an open run that were won or lost."""
        return await self._leads.everywhere.find(
            CLOSED_LEADS, limit=limit, projection=["account_id", "status", "lead_stage_id"]
        )

    async def mark_seen(self, lead: Document) -> None:
        """Do not find this closed lead again until it enters another stage."""
        query = {"_id": lead["_id"], "account_id": {"$eq": lead.get("account_id")}}
        await self._leads.update_one({**query, "lead_stage_id": lead["lead_stage_id"]}, {"$set": {"exit_seen": True}})

    async def lead_of_deal(self, account_id: ObjectId, deal_id: Any) -> Any:
        """The lead that the deal belongs to; None without one."""
        deal = await self._deals.find_one(
            {"_id": either(deal_id), "account_id": either(account_id)}, projection=["lead_id"]
        )
        return deal and deal.get("lead_id")

    async def _mark(self, source: Source) -> Any:
        mark = await self._marks.find_one({"_id": source.collection})
        if mark:
            return mark["seen"]
        first = self._store.clock.now() - FIRST_LOOK
        return ObjectId.from_datetime(first) if source.order == "_id" else first

    def _collection(self, source: Source) -> Collection:
        return self._store.collection(source.collection).everywhere


def _earlier(mark: Any) -> Any:
    return ObjectId.from_datetime(mark.generation_time - OVERLAP) if isinstance(mark, ObjectId) else mark - OVERLAP
