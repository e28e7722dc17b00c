"""Enrolments: one document for each time that a contact goes through a workflow, with the steps as they were then.

The collection also holds enrolments in sequences (`sequence_id`), which are no concern of this repo.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import random
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
from pipeline_engine.repos.expressions import later_by_pause, whole
from pipeline_engine.repos.lease import LEASE_EXPIRED, RELEASED
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, flag, listing, number, text
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.workflows import forms

IN_WORKFLOW: Document = {"workflow_id": {"$exists": True}}
LEFT: Document = {"lease_owner": {"$gt": ""}}
"""Held, and when it is unclaimed as well, left by a holder that died."""
RETRY_SECONDS = (1, 5, 30)
"""After the first, second and third failed attempt at a step."""
MAX_ERRORS = 10
"""Of one step that are kept."""
JITTER = 0.25
"""Only adds."""
HOUR_SECONDS = 3600
SUBJECTS = ("contact_id", "deal_id", "lead_id")
"""Fields that name the records of which an event may end a wait."""
BY_WORKFLOW = "workflow"
"""`paused_by` of an enrolment that waits because its workflow is paused."""

ENROLLMENTS = CollectionSpec(
    "workflow_enrollments",
    indexes=(
        index("status", "next_at", "account_id", **having("workflow_id")),
        index("account_id", "status", "next_at", **having("workflow_id")),
        index("account_id", "workflow_id", "contact_id"),
        index("workflow_id", "status", **having("workflow_id")),
        *(index("account_id", "waiting_for", name, **having("waiting_for")) for name in SUBJECTS),
        index("paused_by", **having("paused_by")),
        LEASE_OWNER_INDEX,
        EVENTS_DUE_INDEX,
    ),
    lease=LeaseSpec(),
    has_events_due=True,
    wakes=(
        {"fullDocument.workflow_id": {"$exists": True}, "fullDocument.status": "active"},
        became("status", "active")[1],
        changed("repeats"),
    ),
    stuck=(
        StuckQuestion(
            "workflow enrolments held for over an hour",
            {**IN_WORKFLOW, "lease_owner": {"$gt": ""}, **longer_ago("$claimed_at", HOUR_SECONDS)},
        ),
    ),
    own={
        **dict.fromkeys(("lease_until", "claimed_at", "arrived_at", "since", "deadline"), date),
        **dict.fromkeys(("enrolled_at", "next_at", "resumed_at"), date),
        **dict.fromkeys(("token", "crashes", "attempts", "repeats"), number),
        **dict.fromkeys(("lease_owner", "waiting_for", "paused_by"), text),
        **dict.fromkeys(("log", "errors"), listing),
        "retried": flag,
    },
)


class Enrollments(Leased):
    """A run claims one enrolment at a time and takes it from step to step until it has to wait."""

    spec = ENROLLMENTS
    due: ClassVar[Document] = {"status": "active", **IN_WORKFLOW}
    running: ClassVar[Document] = {"status": "active"}

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    @property
    def claimable(self) -> Document:
        return {"$and": [self.due, self._has_something_to_do(self._clock.now()), self.unclaimed]}

    def claim_changes(self) -> Document:
        attempts = {"$add": [whole("$attempts"), {"$cond": [LEASE_EXPIRED, 0, 1]}]}
        return {"claimed_at": "$$NOW", "attempts": attempts}

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the enrolment; its step is tried again 1, 5 and 30 s after failed attempts."""
        failures = min(max(1, self.attempt_of(held)), len(RETRY_SECONDS))
        pause = RETRY_SECONDS[failures - 1] * (1 + JITTER * random())  # noqa: S311
        now = self._clock.now()
        errors = [*held.get("errors", ()), {"attempt": self.attempt_of(held), "at": now, "error": error}]
        values = {"next_at": now + timedelta(seconds=pause), "error": error, "errors": errors[-MAX_ERRORS:]}
        await self.release(held, values)

    # --- finding

    async def due_accounts(self, until: datetime) -> list[Any]:
        """The accounts with enrolments due by `until`, as these name them."""
        query = {**self.due, **self._time_has_come(until), **await self.available()}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    async def find_due(self, until: datetime, limit: int) -> list[Document]:
        """`{_id, account_id}` of enrolments of all accounts that are due: `run-once` counts them."""
        query = {**self.due, **self._time_has_come(until), **await self.available()}
        return await self._all.find(query, limit=limit, sort=[("next_at", 1)], projection=["account_id"])

    async def abandoned_accounts(self) -> list[Any]:
        """The accounts of enrolments whose holder has died."""
        query = {**self.due, "lease_owner": {"$gt": ""}, **self.unclaimed, **await self.available()}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    async def due_ids(self, account_id: ObjectId, limit: int) -> list[Document]:
        """`{_id, workflow_id, lease_owner}` of the account's free enrolments that are due, or were left by an owner."""
        mine = {"account_id": either(account_id), **self.due, "$and": [self.unclaimed, await self.available()]}
        due = {**mine, **self._time_has_come(self._clock.now())}
        found = await self._own.find(due, limit=limit, sort=[("next_at", 1)], projection=["workflow_id", "lease_owner"])
        left = await self._own.find({**mine, **LEFT}, limit=limit, projection=["workflow_id", "lease_owner"])
        return [*{repr(one["_id"]): one for one in [*found, *left]}.values()]

    async def next_due_at(self, account_id: ObjectId, *, only_retries: bool = False) -> datetime | None:
        """When the next of the account's enrolments that no run holds is due; None without one."""
        mine = {"account_id": either(account_id), **self.due, "next_at": {"$type": "date"}}
        retries = [{"attempts": {"$gt": 0}}] if only_retries else []
        query = {**mine, "$and": [self.unclaimed, await self.available(), *retries]}
        found = await self._own.find(query, limit=1, sort=[("next_at", 1)], projection=["next_at"])
        return next((at for one in found if isinstance(at := one["next_at"], datetime)), None)

    async def holds(self, held: Mapping[str, Any]) -> bool:
        """Whether this run still holds the enrolment, and it is neither paused nor ended."""
        return await self._own.find_one(self._held(held), projection=["_id"]) is not None

    def _has_something_to_do(self, until: datetime) -> Document:
        """Due, or left by a holder that died: that one may not have looked for what it noted to wait for."""
        return {"$or": [self._time_has_come(until), LEFT]}

    @staticmethod
    def _time_has_come(until: datetime) -> Document:
        return {"next_at": {"$not": {"$gt": until}}}

    # --- enrolling and waiting

    async def enroll(self, documents: Sequence[Document]) -> None:
        """Insert the enrolments; one whose `_id` exists stays as it is."""
        await self._own.insert_missing(documents)

    async def of_contacts(
        self, account_id: ObjectId, workflows: Sequence[Any], contacts: Sequence[Any]
    ) -> list[Document]:
        """What says when these contacts were enrolled in these workflows, and whether they still are."""
        query = {
            "account_id": either(account_id),
            "workflow_id": {"$in": [form for id in workflows for form in forms(id)]},
            "contact_id": {"$in": [form for id in contacts for form in forms(id)]},
        }
        fields = ["workflow_id", "contact_id", "status", "event_id", "triggered_at", "enrolled_at"]
        return await self._own.find(query, projection=fields)

    async def waiting_types(self, account_id: ObjectId, types: Iterable[str]) -> set[str]:
        """Those of the types of events for which enrolments of the account wait."""
        mine = {"account_id": either(account_id)}
        found = [await self._own.find_one({**mine, "waiting_for": type}, projection=["waiting_for"]) for type in types]
        return {one["waiting_for"] for one in found if one and "waiting_for" in one}

    async def wake_waiting(
        self, account_id: ObjectId, type: str, about: Mapping[str, Collection[Any]], now: datetime
    ) -> int:
        """Have the enrolments that wait for such an event look at it now; `about`: {field of SUBJECTS: ids of records
        that such events name}. Returns how many there were."""
        waiting = {"account_id": either(account_id), "waiting_for": type, "status": "active", "next_at": {"$gt": now}}
        named = {name: [form for id in ids for form in forms(id)] for name, ids in about.items() if ids}
        # One update for each field: each has an index of its own.
        queries = [{**waiting, name: {"$in": ids}} for name, ids in named.items()]
        return sum([await self._own.update_many(query, {"$set": {"next_at": now}}) for query in queries])

    # --- pauses

    async def pause_of(self, account_id: ObjectId, workflow_id: Any, since: datetime) -> int:
        """Pause all that are under way in the workflow; a run that holds one of them writes nothing more to it."""
        query = {"account_id": either(account_id), "workflow_id": {"$in": forms(workflow_id)}, "status": "active"}
        arrived = {"$cond": [{"$eq": [{"$type": "$arrived_at"}, "date"]}, "$arrived_at", since]}
        paused = {"status": "paused", "paused_by": BY_WORKFLOW, "paused_at": {"$max": [since, arrived]}}
        token = {"$add": [whole("$token"), 1]}
        update = [{"$set": {**paused, **RELEASED, "token": token, "updatedAt": "$$NOW"}}]
        return await self._own.update_many(query, update)

    async def resume_of(self, account_id: ObjectId, workflow_id: Any, now: datetime) -> int:
        """Let those that a pause of the workflow held go on; what they wait for is put off by the pause."""
        query = {"account_id": either(account_id), "workflow_id": {"$in": forms(workflow_id)}}
        # The event for which one waits may have come during the pause.
        next_at = {"$cond": [{"$eq": [{"$type": "$waiting_for"}, "string"]}, now, later_by_pause("next_at", now)]}
        times = {"next_at": next_at, "deadline": later_by_pause("deadline", now), "resumed_at": now}
        gone = dict.fromkeys(("paused_by", "paused_at"), "$$REMOVE")
        update: list[Document] = [{"$set": {**times, **gone, "status": "active", "updatedAt": "$$NOW"}}]
        return await self._own.update_many({**query, "status": "paused", "paused_by": BY_WORKFLOW}, update)

    async def held_by_pauses(self, account_id: ObjectId) -> list[Any]:
        """The account's workflows that hold enrolments by a pause."""
        held = {"paused_by": BY_WORKFLOW, "status": "paused", "account_id": either(account_id)}
        return [one["_id"] for one in await self._own.aggregate(held, {"$group": {"_id": "$workflow_id"}})]

    async def all_held_by_pauses(self) -> list[Document]:
        """`{account_id, workflow_id}` of the workflows of all accounts that hold enrolments by a pause."""
        group = {"$group": {"_id": {"account_id": "$account_id", "workflow_id": "$workflow_id"}}}
        found = await self._all.aggregate({"paused_by": BY_WORKFLOW, "status": "paused"}, group)
        return [one["_id"] for one in found]

    async def active_in(self, workflows: Sequence[Any]) -> list[Any]:
        """The accounts with active enrolments in one of these workflows."""
        query = {"workflow_id": {"$in": [form for id in workflows for form in forms(id)]}, "status": "active"}
        return [one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})]

    # --- for operators

    async def move(self, moves: Sequence[tuple[Mapping[str, Any], Document]]) -> int:
        """Set values on enrolments that stand as they were read and that no run holds: (as read, values). Returns how
        many were changed. What a run that lost its lease writes afterwards changes nothing."""
        done = 0
        for seen, values in moves:
            mine = {"_id": seen["_id"], "account_id": {"$eq": seen.get("account_id")}, "status": seen["status"]}
            query = {**mine, "step": seen.get("step"), "token": seen.get("token"), "$and": [self.unclaimed]}
            literal = {name: {"$literal": value} for name, value in values.items()}
            token = {"$add": [whole("$token"), 1]}
            done += await self._own.update_one(query, [{"$set": {**literal, "token": token, "updatedAt": "$$NOW"}}])
        return done

    async def again(self, id: ObjectId, now: datetime) -> bool:
        """Make an enrolment that failed go on at the step at which it failed; False when it has not failed."""
        query = {"_id": id, "status": "failed", **IN_WORKFLOW}
        values = {"status": "active", "attempts": 0, "crashes": 0, "retried": True, "next_at": now, "arrived_at": now}
        change = {"$set": values, "$inc": {"repeats": 1}, "$unset": {"reason": "", "error": "", "ended_at": ""}}
        return await self._all.update_one(query, change) == 1
