"""Enrolments in sequences: one document for each time that a contact goes through a sequence of e-mails.

The collection also holds enrolments in workflows (`workflow_id`), which are no concern of this repo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId
from pymongo import UpdateMany

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either
from pipeline_engine.repos.changes import became, changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    having,
    index,
    longer_ago,
)
from pipeline_engine.repos.expressions import later_by_pause, whole, with_item
from pipeline_engine.repos.lease import RELEASED
from pipeline_engine.repos.leased_in_batches import LeasedInBatches
from pipeline_engine.repos.own_fields import date, listing, number, text
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.workflows import forms

IN_SEQUENCE: Document = {"sequence_id": {"$exists": True}}
BY_SEQUENCE = "sequence"
"""`paused_by` of an enrolment that waits because its sequence is not active, or paused."""
HOUR_SECONDS = 3600
FORGOTTEN = ("error", "held")
"""Fields that say why a mail was not sent, until something else happens to it."""

SEQUENCE_ENROLLMENTS = CollectionSpec(
    "workflow_enrollments",
    indexes=(
        index("next_at", "status", "account_id", **having("sequence_id")),
        index("account_id", "next_at", "status", **having("sequence_id")),
        index("sequence_id", "status", **having("sequence_id")),
        index("account_id", "contact_id", "status", **having("sequence_id")),
        index("paused_by", **having("paused_by")),
        LEASE_OWNER_INDEX,
    ),
    lease=LeaseSpec(),
    wakes=(
        {"fullDocument.sequence_id": {"$exists": True}, "fullDocument.status": "active"},
        became("status", "active")[1],
        changed("repeats"),
    ),
    stuck=(
        StuckQuestion(
            "sequence enrolments held for over an hour",
            {**IN_SEQUENCE, "lease_owner": {"$gt": ""}, **longer_ago("$claimed_at", HOUR_SECONDS)},
        ),
    ),
    own={
        **dict.fromkeys(("lease_until", "claimed_at", "paused_at", "retried_at"), date),
        **dict.fromkeys(("token", "crashes", "attempts", "repeats"), number),
        **dict.fromkeys(("lease_owner", "paused_by", "reason", "error", "held"), text),
        "log": listing,
    },
)


@dataclass(frozen=True)
class Settle:
    """One write for enrolments of one claim that end alike: the fields to set, and what the log says."""

    claim_id: Any
    ids: Sequence[Any]
    values: Document
    entry: Document | None = None


class SequenceEnrollments(LeasedInBatches):
    """A job claims many enrolments of an account, sends the mail at which each stands, and releases each as it ends."""

    spec = SEQUENCE_ENROLLMENTS
    due: ClassVar[Document] = {"status": "active", **IN_SEQUENCE}
    running: ClassVar[Document] = {"status": "active"}

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        return int(held.get("attempts") or 0) + 1

    async def claim_due(self, account_id: ObjectId, limit: int) -> list[Document]:
        """Claim up to `limit` enrolments of the account whose mail is due, the longest due first."""
        query = {**self.due, **_time_has_come(self._clock.now())}
        return await self.claim_many(account_id, query, limit, [("next_at", 1)])

    async def pin(self, account_id: ObjectId, claim_id: Any, ids: Sequence[Any], values: Document) -> None:
        """Store the steps by which these enrolments go on, whatever becomes of their sequence."""
        await self.change_many(account_id, claim_id, ids, values)

    async def settle(self, account_id: ObjectId, writes: Sequence[Settle]) -> None:
        """Set values on those of the enrolments that their claim still holds, add to their log, and release them; all
        in one round trip."""
        await self._own.bulk([self._settled(account_id, one) for one in writes])

    def _settled(self, account_id: ObjectId, one: Settle) -> UpdateMany:
        literal = {name: {"$literal": value} for name, value in one.values.items()}
        log = {"log": with_item("$log", one.entry)} if one.entry else {}
        change = {**literal, **log, **RELEASED, "claim_id": None, "crashes": 0, "updatedAt": "$$NOW"}
        gone = [name for name in FORGOTTEN if name not in one.values]
        return UpdateMany(self._mine(account_id, one.claim_id, one.ids), [{"$set": change}, {"$unset": gone}])

    async def end_of_contacts(
        self, account_id: ObjectId, contacts: Sequence[Any], status: str, reason: str, now: datetime
    ) -> int:
        """End all that is under way for these contacts, also what a run holds, whose writes then change nothing.
        Returns how many ended."""
        query = {"contact_id": {"$in": _all_forms(contacts)}, "status": {"$in": ["active", "paused"]}, **IN_SEQUENCE}
        ended = {"status": status, "reason": {"$literal": reason}, "ended_at": now, "next_at": None, **RELEASED}
        change = {**ended, "token": {"$add": [whole("$token"), 1]}, "updatedAt": "$$NOW"}
        return await self._own.update_many({"account_id": either(account_id), **query}, [{"$set": change}])

    # --- finding

    async def due_accounts(self, until: datetime) -> list[Any]:
        """The accounts with enrolments due by `until`, as these name them."""
        query = {**self.due, **_time_has_come(until), **await self.available()}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    async def find_due(self, until: datetime, limit: int) -> list[Document]:
        """`{_id, account_id}` of enrolments of all accounts that are due: `run-once` counts them."""
        query = {**self.due, **_time_has_come(until), **await self.available()}
        return await self._all.find(query, limit=limit, sort=[("next_at", 1)], projection=["account_id"])

    async def abandoned_accounts(self) -> list[Any]:
        """The accounts of enrolments whose holder has died."""
        query = {**self.due, "lease_owner": {"$gt": ""}, **self.unclaimed, **await self.available()}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    async def next_due_at(self, account_id: ObjectId, *, only_retries: bool = False) -> datetime | None:
        """When the next of the account's enrolments that no run holds is due; None without one."""
        mine = {"account_id": either(account_id), **self.due, "next_at": {"$type": "date"}}
        retries = [{"attempts": {"$gt": 0}}] if only_retries else []
        query = {**mine, "$and": [self.unclaimed, await self.available(), *retries]}
        found = await self._own.find(query, limit=1, sort=[("next_at", 1)], projection=["next_at"])
        return usable_date(found[0].get("next_at")) if found else None

    # --- pauses

    async def pause_of(self, account_id: ObjectId, sequences: Sequence[Any], now: datetime) -> int:
        """Pause all that are under way in these sequences; a run that holds one of them writes nothing more to it."""
        query = {"account_id": either(account_id), "sequence_id": {"$in": _all_forms(sequences)}, "status": "active"}
        paused = {"status": "paused", "paused_by": BY_SEQUENCE, "paused_at": now}
        update = {**paused, **RELEASED, "token": {"$add": [whole("$token"), 1]}, "updatedAt": "$$NOW"}
        return await self._own.update_many(query, [{"$set": update}])

    async def resume_of(self, account_id: ObjectId, sequences: Sequence[Any], now: datetime) -> int:
        """Let those that rested with these sequences go on; what is due for them is put off by the rest."""
        query = {"account_id": either(account_id), "sequence_id": {"$in": _all_forms(sequences)}}
        change = {"next_at": later_by_pause("next_at", now), "status": "active", "updatedAt": "$$NOW"}
        update: list[Document] = [{"$set": change}, {"$unset": ["paused_by", "paused_at"]}]
        return await self._own.update_many({**query, "status": "paused", "paused_by": BY_SEQUENCE}, update)

    async def held_by_pauses(self, account_id: ObjectId) -> list[Any]:
        """The account's sequences with which enrolments rest."""
        held = {"paused_by": BY_SEQUENCE, "status": "paused", "account_id": either(account_id)}
        return [one["_id"] for one in await self._own.aggregate(held, {"$group": {"_id": "$sequence_id"}})]

    async def all_held_by_pauses(self) -> list[Document]:
        """`{account_id, sequence_id}` of the sequences of all accounts with which enrolments rest."""
        group = {"$group": {"_id": {"account_id": "$account_id", "sequence_id": "$sequence_id"}}}
        return [one["_id"] for one in await self._all.aggregate({"paused_by": BY_SEQUENCE, "status": "paused"}, group)]

    async def active_in(self, sequences: Sequence[Any]) -> list[Any]:
        """The accounts with active enrolments in one of these sequences."""
        query = {"sequence_id": {"$in": _all_forms(sequences)}, "status": "active"}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    # --- for operators

    async def again(self, id: ObjectId, now: datetime) -> bool:
        """Make an enrolment that failed go on at the step at which it failed; False when it has not failed."""
        query = {"_id": id, "status": "failed", **IN_SEQUENCE}
        values = {"status": "active", "attempts": 0, "crashes": 0, "next_at": now, "retried_at": now}
        change = {"$set": values, "$inc": {"repeats": 1}, "$unset": {"reason": "", "error": "", "ended_at": ""}}
        return await self._all.update_one(query, change) == 1


def _time_has_come(until: datetime) -> Document:
    return {"next_at": {"$not": {"$gt": until}}}


def _all_forms(ids: Sequence[Any]) -> list[Any]:
    return [form for id in ids for form in forms(id)]
