"""What ends the runs of leads from outside: suppressions, CRM events, meetings, and leads that were closed.

What was read once costs nothing again: a source is read on from a mark, and a CRM event, of which the id and the time
say nothing about when it was published, is marked itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.changes_apart import ChangesApart
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.crm_events import CRM_EVENTS
from pipeline_engine.repos.quarantine import Quarantine
from pipeline_engine.repos.store import Store

OVERLAP = timedelta(minutes=2)
"""So much is read twice: documents do not become visible in the order of their ids, and clocks differ."""
FIRST_LOOK = timedelta(minutes=10)
"""How far back what was never read before is read."""
EVENT_TYPES = ("email.bounced", "deal.won")
UNSEEN_EVENTS: Document = {"type": {"$in": list(EVENT_TYPES)}, "exit_seen": None}
EVENT_FIELDS = (
    *("account_id", "type", "occurred_at", "ended_at"),
    *(f"data.{name}" for name in ("lead_id", "leadId", "deal_id", "dealId", "bounce_type")),
)
"""What is read of an event, which may have megabytes."""
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
    """A collection of which new documents may end runs."""

    collection: str
    query: Mapping[str, Any]


SOURCES = (
    Source("suppressions", {}),
    Source("activities", {"type": "meeting"}),
    Source("calendar_events", {}),
)


class LeadExits:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks = store.collection(LEAD_EXIT_MARKS).everywhere
        self._leads = store.collection("leads")
        self._deals = store.collection("deals")
        self._events = store.collection(CRM_EVENTS).everywhere
        self._quarantine = Quarantine(store)

    async def anything_new(self) -> bool:
        """Whether there is a CRM event that may end runs and was not read, a source has a document behind its mark, or
        a lead with an open run was won or lost."""
        if await self._leads.everywhere.find_one(CLOSED_LEADS, projection=["_id"]) or await self.unseen_events(1):
            return True
        for source in SOURCES:
            query = {**source.query, "_id": {"$gt": await self._mark(source)}}
            if await self._collection(source).find_one(query, projection=["_id"]):
                return True
        return False

    async def unseen_events(self, limit: int) -> list[Document]:
        """CRM events of all accounts that may end runs and were not read for that."""
        if not await self._marks.find_one({"_id": CRM_EVENTS.name, "each": True}):
            await self._pass_over_history()
        query = {**UNSEEN_EVENTS, **await self._quarantine.others(CRM_EVENTS.name)}
        return await self._events.find(query, limit=limit, projection=list(EVENT_FIELDS))

    async def mark_events(self, events: Sequence[Document]) -> None:
        """Do not read these events again."""
        query = {"_id": {"$in": [one["_id"] for one in events]}}
        await ChangesApart(self._events, self._quarantine).update(query, [{"$set": {"exit_seen": True}}])

    async def _pass_over_history(self) -> None:
        """What ended before the first look ends no runs."""
        edge = self._store.clock.now() - FIRST_LOOK
        query = {**UNSEEN_EVENTS, "status": {"$in": ["done", "dead"]}, "occurred_at": {"$not": {"$gte": edge}}}
        await ChangesApart(self._events, self._quarantine).update(query, [{"$set": {"exit_seen": True}}])
        await self._marks.update_one({"_id": CRM_EVENTS.name}, {"$set": {"each": True}}, upsert=True)

    async def pages(self, source: Source, size: int) -> AsyncIterator[list[Document]]:
        """Documents of the source behind its mark, and a little before it, oldest first; the mark follows when a page
        was worked off."""
        after, before = _earlier(await self._mark(source)), [{"_id": None}]
        while True:
            query = {**source.query, "_id": {"$gte": after}}
            page = await self._collection(source).find(query, limit=size, sort=[("_id", 1)])
            if not page or page[-1]["_id"] == before[-1]["_id"]:
                return
            yield page
            await self._move_mark(source, page[-1]["_id"])
            if len(page) < size:
                return
            after, before = page[-1]["_id"], page

    async def _move_mark(self, source: Source, last: Any) -> None:
        # A document that claims to be of a later time must not hide those that come until then.
        if isinstance(last, ObjectId):
            seen = min(last, ObjectId.from_datetime(self._store.clock.now()))
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

    async def _mark(self, source: Source) -> ObjectId:
        mark = await self._marks.find_one({"_id": source.collection})
        return mark["seen"] if mark else ObjectId.from_datetime(self._store.clock.now() - FIRST_LOOK)

    def _collection(self, source: Source) -> Collection:
        return self._store.collection(source.collection).everywhere


def _earlier(mark: ObjectId) -> ObjectId:
    return ObjectId.from_datetime(mark.generation_time - OVERLAP)
