"""What is known about contacts and deals: when they were last touched, what was noted, and who works where. Read only.

References are found whether the CRM stored them as ObjectId or as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.expressions import as_text
from pipeline_engine.repos.id_pages import Place, read_page
from pipeline_engine.repos.own_fields import MAX_AHEAD
from pipeline_engine.repos.store import Store

NOTES = CollectionSpec("notes", indexes=(index("account_id", "deal_id"), index("account_id", "contact_id")))

TOUCH_TYPES = [
    *("call", "meeting", "note", "email"),
    *("email_sent", "email_received", "email_replied", "email_forwarded"),
]
"""Types of activities that count as touching a contact or deal. What a sequence or a web page causes does not."""
WON, LOST = ["won", "Won", "WON"], ["lost", "Lost", "LOST"]
CLOSED = [*WON, *LOST]
NO_LIST: Document = {"$not": {"$type": "array"}}
"""A comparison also matches a list of which one member fits, and no date can be computed from a list."""
OPEN: Document = {"status": {"$nin": CLOSED}}
CONTACT_FIELDS = ("name", "email", "company", "title", "intent_level", "lead_grade", "lifecycle_stage")
DEAL_FIELDS = ("name", "value", "status", "stage_id", "owner", "created_by", "contact_id", "createdAt", "at_risk")


class Touch(NamedTuple):
    """When something last happened, of which type it was, and the record that says so."""

    at: datetime
    type: str
    collection: str = "activities"
    id: Any = None


class SalesRecords:
    def __init__(self, store: Store) -> None:
        self._contacts = store.collection("contacts")
        self._deals = store.collection("deals")
        self._activities = store.collection("activities")
        self._notes = store.collection(NOTES)
        self._stages = store.collection("pipeline_stages")
        self._users = store.collection("users").everywhere
        self._clock = store.clock

    async def contacts_by_email(self, account_id: ObjectId, emails: Sequence[str], limit: int) -> list[Document]:
        """The contacts with one of these addresses, in whatever case."""
        query = {"account_id": either(account_id), "email": {"$in": list(emails)}}
        fields = list(CONTACT_FIELDS)
        return await self._contacts.find(query, limit=limit, projection=fields, collation=WITHOUT_CASE)

    async def user_emails(self, account_id: ObjectId, emails: Sequence[str]) -> set[str]:
        """Those of the addresses, in lower case, that belong to users of the account."""
        query = {"account": either(account_id), "email": {"$in": list(emails)}}
        found = await self._users.find(query, projection=["email"], collation=WITHOUT_CASE)
        return {str(one["email"]).lower() for one in found}

    async def user_names(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Any]:
        """{id of a user of the account as text: their name}"""
        if not ids:
            return {}
        query = {"_id": {"$in": _forms(ids)}, "account": either(account_id)}
        return {str(one["_id"]): one.get("name") for one in await self._users.find(query, projection=["name"])}

    async def count_contacts(self, account_id: ObjectId, companies: Sequence[str]) -> dict[str, int]:
        """{company: how many contacts of the account work there}"""
        query = {"account_id": either(account_id), "company": {"$in": list(companies)}}
        found = await self._contacts.aggregate(query, {"$group": {"_id": "$company", "n": {"$sum": 1}}})
        return {one["_id"]: one["n"] for one in found}

    async def open_deals_of(self, account_id: ObjectId, contacts: Sequence[Any], limit: int) -> list[Document]:
        """The open deals of these contacts, the newest first, each with the name of its stage as `stage_name`."""
        query = {"account_id": either(account_id), "contact_id": {"$in": _forms(contacts)}, **OPEN}
        deals = await self._deals.find(query, limit=limit, sort=[("_id", -1)], projection=list(DEAL_FIELDS))
        names = await self.stage_names(account_id, [deal.get("stage_id") for deal in deals])
        return [{**deal, "stage_name": names.get(str(deal.get("stage_id")))} for deal in deals]

    async def won_deals_of(self, account_id: ObjectId, contacts: Sequence[Any], limit: int) -> list[Document]:
        """`{contact_id, value}` of deals that were won with these contacts, the newest first."""
        query = {"account_id": either(account_id), "contact_id": {"$in": _forms(contacts)}, "status": {"$in": WON}}
        return await self._deals.find(query, limit=limit, sort=[("_id", -1)], projection=["contact_id", "value"])

    async def stage_names(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Any]:
        """{id of a stage as text: its name}"""
        if not ids:
            return {}
        query = {"_id": {"$in": _forms(ids)}, "account_id": either(account_id)}
        return {str(one["_id"]): one.get("name") for one in await self._stages.find(query, projection=["name"])}

    async def notes_of(
        self, account_id: ObjectId, contacts: Sequence[Any], deals: Sequence[Any], limit: int
    ) -> list[Document]:
        """`{text, createdAt}` of notes that people wrote about these records, the newest first."""
        records = {"$or": [{"contact_id": {"$in": _forms(contacts)}}, {"deal_id": {"$in": _forms(deals)}}]}
        query = {"account_id": either(account_id), "automation": None, **records}
        return await self._notes.find(
            query, limit=limit, sort=[("createdAt", -1), ("_id", -1)], projection=["text", "createdAt"]
        )

    async def open_deals_after(self, account_id: ObjectId, after: Place, limit: int) -> list[Document]:
        """The next open deals of the account in order of id; none at the end."""
        query = {"account_id": either(account_id), **OPEN}
        return await read_page(self._deals, query, "_id", after, limit, DEAL_FIELDS)

    async def deals(self, account_id: ObjectId, ids: Sequence[Any]) -> dict[str, Document]:
        """{id as text: deal} of those that exist."""
        if not ids:
            return {}
        query = {"_id": {"$in": _forms(ids)}, "account_id": either(account_id)}
        return {str(one["_id"]): one for one in await self._deals.find(query, projection=list(DEAL_FIELDS))}

    async def touches(
        self, account_id: ObjectId, record: str, ids: Sequence[Any], ahead: timedelta = timedelta()
    ) -> dict[str, list[Touch]]:
        """{id as text: the last touch of each type} of records that activities and notes name in their field `record`,
        until now and `ahead`."""
        if not ids:
            return {}
        mine = {"account_id": either(account_id), record: {"$in": _forms(ids)}}
        until = {"$lte": self._clock.now() + ahead, **NO_LIST}
        happened = {**mine, "type": {"$in": TOUCH_TYPES}, "occurred_at": until}
        noted = {**mine, "automation": None, "createdAt": until}
        activities = await self._activities.aggregate(happened, _newest(record, "$occurred_at", "$type"))
        notes = await self._notes.aggregate(noted, _newest(record, "$createdAt", "note"))
        touches: dict[str, list[Touch]] = {}
        for collection, found in (("activities", activities), ("notes", notes)):
            for one in found:
                if at := usable_date(one["last"]["at"]):
                    touch = Touch(at, str(one["_id"]["type"]), collection, one["last"]["id"])
                    touches.setdefault(one["_id"]["record"], []).append(touch)
        return touches

    async def last_touches(self, account_id: ObjectId, record: str, ids: Sequence[Any]) -> dict[str, Touch]:
        """{id as text: the last touch of any type}; else as `touches`. A call or meeting that is planned counts."""
        found = await self.touches(account_id, record, ids, MAX_AHEAD)
        return {id: max(some, key=lambda touch: touch.at) for id, some in found.items()}


def _newest(record: str, at: str, type: str) -> Document:
    # Objects are compared field by field, so the greatest is the one with the latest time.
    group = {"record": as_text(f"${record}"), "type": type}
    return {"$group": {"_id": group, "last": {"$max": {"at": at, "id": "$_id"}}}}


def _forms(ids: Sequence[Any]) -> list[Any]:
    """The ids as ObjectId and as text; what is neither is left out."""
    texts = {str(id) for id in ids if isinstance(id, ObjectId | str)}
    return [*sorted(texts), *(ObjectId(text) for text in sorted(texts) if ObjectId.is_valid(text))]
