"""The contacts, deals and leads that workflows read and change, and the events for which they wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.bulk_change import apply_change
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.deal_change import DealChange
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.lease import RELEASED
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.workflows import forms

SEQUENCES = CollectionSpec("sequences", indexes=(index("account_id", "active"),))
OPEN = ("active", "paused")
"""The states of an enrolment that has not ended."""
MAX_DEALS = 1000
"""Of one contact, when an event of a deal is looked for."""


class WorkflowRecords:
    """Every query is of one account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._enrollments = store.collection("workflow_enrollments")

    async def read(
        self, collection: str, account_id: ObjectId, ids: Sequence[Any], fields: Sequence[str] | None = None
    ) -> dict[str, Document]:
        """{id as text: document} of those that exist, with all fields unless some are named."""
        query = {"_id": {"$in": [form for id in ids for form in forms(id)]}, "account_id": either(account_id)}
        projection = None if fields is None else list(fields)
        found = await self._store.collection(collection).find(query, projection=projection) if ids else []
        return {str(one["_id"]): one for one in found}

    async def change(
        self, collection: str, account_id: ObjectId, id: Any, change: DealChange, unless: Document
    ) -> tuple[bool, str | None]:
        """Change a record unless it matches `unless`, as it then stands as it should.

        Returns whether it was changed, and why the server refuses the change, if it does.
        """
        own = self._store.collection(collection)
        query = {"account_id": either(account_id), "$nor": [unless]}
        done = await apply_change(own, query, [id], change)
        return done.everything, next(iter(done.refused.values()), None)

    async def happened(
        self, account_id: ObjectId, type: str, about: Mapping[str, Any], since: datetime, until: datetime
    ) -> AsyncIterator[Document]:
        """Events of the type in this time, both ends included, in their order; one without a time happened when it was
        consumed. `about`: the records `contact`, `deal` and `lead`, and a list of `deals`, any of which an event may
        name."""
        between = {"$gte": since, "$lte": until}
        undated = {"occurred_at": {"$not": {"$type": "date"}}, "ended_at": between}
        subject = {"$or": [{f"data.{name}": {"$in": ids}} for name, ids in _names(about)]}
        when = {"$or": [{"occurred_at": between}, undated]}
        query = {"account_id": either(account_id), "type": type, "$and": [subject, when]}
        async for event in self._store.collection("crm_events").stream(query, [("occurred_at", 1), ("_id", 1)]):
            yield event

    async def deals_of(self, account_id: ObjectId, contact_id: Any) -> list[Any]:
        """The ids of the contact's deals."""
        query = {"account_id": either(account_id), "contact_id": {"$in": forms(contact_id)}}
        found = await self._store.collection("deals").find(query, projection=["_id"], limit=MAX_DEALS)
        return [one["_id"] for one in found]

    async def event(self, account_id: ObjectId, id: Any) -> Document | None:
        """One event."""
        return await self._store.collection("crm_events").find_one({"_id": id, "account_id": either(account_id)})

    async def in_sequence(self, account_id: ObjectId, sequence_id: ObjectId, contact_id: Any) -> bool:
        """Whether the contact is under way in the sequence."""
        query = {"sequence_id": {"$in": forms(sequence_id)}, "contact_id": {"$in": forms(contact_id)}}
        open = {"account_id": either(account_id), **query, "status": {"$in": ["active", "paused"]}}
        found = await self._store.collection("workflow_enrollments").find_one(open, projection=["_id"])
        return found is not None

    async def open_of_contacts(self, account_id: ObjectId, contacts: Sequence[Any]) -> list[Document]:
        """`{_id, step, steps}` of the enrolments of these contacts in workflows that have not ended."""
        account = {"account_id": either(account_id)}
        workflows = await self._store.collection("workflows").find(account, projection=["_id"])
        known = {
            "workflow_id": {"$in": [form for one in workflows for form in forms(one["_id"])]},
            "contact_id": {"$in": [form for id in contacts for form in forms(id)]},
        }
        query = {**account, **known, "status": {"$in": list(OPEN)}}
        return await self._enrollments.find(query, projection=["step", "steps"])

    async def end(self, account_id: ObjectId, ids: Sequence[Any], status: str, reason: str) -> int:
        """End those of the enrolments that have not ended, also those that a run holds, whose writes then change
        nothing. Returns how many there were."""
        query = {"account_id": either(account_id), "_id": {"$in": list(ids)}, "status": {"$in": list(OPEN)}}
        literal = {"status": status, "reason": {"$literal": reason}, "next_at": None, "ended_at": "$$NOW"}
        change = {**literal, **RELEASED, "token": {"$add": [whole("$token"), 1]}, "updatedAt": "$$NOW"}
        gone = ["waiting_for", "deadline", "error", "errors", "retried"]
        return await self._enrollments.update_many(query, [{"$set": change}, {"$unset": gone}])

    async def effects(self, account_id: Any, keys: Sequence[str]) -> list[Document]:
        """The records of what was sent under these keys."""
        query = {"_id": {"$in": list(keys)}, "account_id": {"$in": forms(account_id)}}
        return await self._store.collection("effects").find(query)

    # --- enrolments, for operators

    async def count_of(self, account_id: Any, workflow_id: Any) -> dict[str, int]:
        """{status: how many} of the workflow's enrolments."""
        query = {"account_id": {"$in": forms(account_id)}, "workflow_id": {"$in": forms(workflow_id)}}
        found = await self._enrollments.aggregate(query, {"$group": {"_id": "$status", "count": {"$sum": 1}}})
        return {str(one["_id"]): int(one["count"]) for one in found}

    async def open_of(self, account_id: Any, workflow_id: Any) -> list[Document]:
        """The enrolments in the workflow that have not ended."""
        query = {"account_id": {"$in": forms(account_id)}, "workflow_id": {"$in": forms(workflow_id)}}
        return await self._enrollments.find({**query, "status": {"$in": list(OPEN)}}, sort=[("_id", 1)])

    async def latest(self, limit: int, account_id: Any, workflow_id: Any) -> list[Document]:
        """The workflow's newest enrolments, without their copies of the steps."""
        query = {"account_id": {"$in": forms(account_id)}, "workflow_id": {"$in": forms(workflow_id)}}
        return await self._enrollments.find(query, sort=[("enrolled_at", -1)], limit=limit, projection={"steps": 0})


def _names(about: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(field of an event's data, ids in both forms) by which an event may name the records."""
    deals = [form for id in [about.get("deal"), *about.get("deals", ())] if id is not None for form in forms(id)]
    for name, ids in (("contact", forms(about["contact"])), ("deal", deals), ("lead", forms(about.get("lead")))):
        if about.get(name) is not None or (name == "deal" and ids):
            yield from ((f"{name}_id", ids), (f"{name}Id", ids))
    if deals:
        yield "deals", deals
