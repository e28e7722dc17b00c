"""What the engine writes about contacts because of events: signals, ends of sequences, replies of leads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.lease import RELEASED
from pipeline_engine.repos.store import Store

INTENT_SIGNALS = CollectionSpec(
    "intent_signals", indexes=(index("account_id", "contact_id"), index("account_id", "expired_at", "contact_id"))
)
RUNNING = ["active", "paused"]
"""The states of an enrolment that has not ended."""


class ContactRecords:
    def __init__(self, store: Store) -> None:
        self._signals = store.collection(INTENT_SIGNALS)
        self._enrollments = store.collection("workflow_enrollments")
        self._responses = store.collection("lead_responses")

    async def add_signals(self, signals: Sequence[Document]) -> None:
        """Insert the signals that are missing."""
        await self._signals.insert_missing(signals)

    async def signals(self, account_id: ObjectId, contacts: Sequence[ObjectId]) -> Mapping[ObjectId, list[Document]]:
        """{contact: all its signals that have not expired}"""
        query = {"account_id": either(account_id), "contact_id": {"$in": [*contacts, *map(str, contacts)]}}
        query |= {"expired_at": None}
        found: dict[ObjectId, list[Document]] = defaultdict(list)
        for one in await self._signals.find(query, projection=["contact_id", "type", "points", "occurred_at"]):
            found[ObjectId(one["contact_id"])].append(one)
        return found

    async def end_sequences(
        self, account_id: ObjectId, moments: Mapping[ObjectId, datetime], status: str, reason: str
    ) -> None:
        """End the enrolments in sequences of {contact: when it happened} that were begun by then, also those that a run
        holds, whose writes then change nothing."""
        token = {"token": {"$add": [whole("$token"), 1]}}
        change = {"status": status, "reason": {"$literal": reason}, **RELEASED, **token, "updatedAt": "$$NOW"}
        # An enrolment without a usable beginning counts as begun before.
        begun = [{"contact_id": either(id), "createdAt": {"$not": {"$gt": at}}} for id, at in moments.items()]
        mine = {"account_id": either(account_id), "status": {"$in": RUNNING}, "$or": begun}
        query = {**mine, "sequence_id": {"$exists": True, "$ne": None}}
        await self._enrollments.update_many(query, [{"$set": change}, {"$unset": "next_at"}])

    async def add_responses(self, responses: Sequence[Document]) -> None:
        """Insert the replies of leads that are missing, also when the CRM has inserted the same message."""
        ids = [one["message_id"] for one in responses if one.get("message_id")]
        accounts = {"account_id": {"$in": [one["account_id"] for one in responses]}}
        known = await self._responses.find({**accounts, "message_id": {"$in": ids}}, projection=["message_id"])
        present = {one["message_id"] for one in known}
        await self._responses.insert_missing([one for one in responses if one.get("message_id") not in present])
