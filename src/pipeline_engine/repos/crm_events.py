"""CRM events (`crm_events`): from `new` to `done` or `dead`, in order, and then onward to who takes consumed events.

An event with `next_at` waits: it failed, or an earlier event of its key did. The field `onward` of an ended event names
who has not taken it yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED, became
from pipeline_engine.repos.changes_apart import ChangesApart
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.event_order import ORDER, place_of
from pipeline_engine.repos.expressions import STRANGE_ACCOUNT, whole
from pipeline_engine.repos.own_fields import MAX_AHEAD, date, fields, flag, listing, number, text
from pipeline_engine.repos.quarantine import NO_ACCOUNT, Quarantine
from pipeline_engine.repos.store import Store

MAX_CHECKED = 50
MAX_ERRORS = 10
"""Errors that an event keeps, the newest."""
SUBJECTS = ("contact_id", "contactId", "deal_id", "dealId", "deals")
"""Fields of `data` by which the events of a record are found."""
IS_NEW: dict[str, object] = {"partialFilterExpression": {"status": "new"}}

CRM_EVENTS = CollectionSpec(
    "crm_events",
    indexes=(
        index("status", "occurred_at"),
        index("status", "account_id", "next_at", **IS_NEW),
        index("account_id", "next_at", "occurred_at", "_id", **IS_NEW),
        index("account_id", "failing_key", **having("failing_key")),
        index("onward", "account_id", "occurred_at", "_id", **having("onward")),
        index("account_id", "occurred_at"),
        index("type", "exit_seen"),
        *(index("account_id", f"data.{name}", **having(f"data.{name}")) for name in SUBJECTS),
    ),
    wakes=(*became("status", "new"), {**INSERTED, "fullDocument.type": {"$in": ["email.bounced", "deal.won"]}}),
    own={
        **dict.fromkeys(("next_at", "ended_at"), date),
        **dict.fromkeys(("consumed", "onward", "errors"), listing),
        **dict.fromkeys(("attempts", "crashes", "retries"), number),
        **dict.fromkeys(("handed_on", "given_up"), flag),
        "failing_key": text,
        "only": fields,
    },
)


def restricted_to(event: Mapping[str, Any], name: str) -> str | None:
    """The id of the one workflow or webhook for which an operator replays the event; None: it is for all of them."""
    only = event.get("only")
    value = only.get(name) if isinstance(only, Mapping) else None
    return str(value) if value is not None else None


class CrmEvents:
    """Only the run that holds the account's line consumes its events (`repos/event_lines.py`)."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(CRM_EVENTS)
        self._all = self._own.everywhere
        self._quarantine = Quarantine(store)
        self._changes = ChangesApart(self._own, self._quarantine)
        self._clock = store.clock

    async def due_accounts(self) -> list[Any]:
        """The accounts with due events, as the events name them: anything may stand there. Where there are very many,
        accounts of which all events wait are among them."""
        # Without any other condition the server jumps from account to account, however many events they have.
        found = await self._all.aggregate({"status": "new"}, {"$group": {"_id": "$account_id"}})
        accounts = [one["_id"] for one in found]
        return [one for one in accounts if await self._has_due(one)] if len(accounts) <= MAX_CHECKED else accounts

    async def _has_due(self, account_id: Any) -> bool:
        query = {**await self._due(), "account_id": {"$eq": account_id}}
        return await self._all.find_one(query, projection=["_id"]) is not None

    async def find_due(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of due events of all accounts: `run-once` counts them."""
        return await self._all.find(await self._due(), limit=limit, projection=["account_id"])

    async def set_strange_accounts_aside(self, limit: int) -> None:
        """Set due events aside that name no account: no job of an account reaches them."""
        query = {**await self._due(), **STRANGE_ACCOUNT}
        for one in await self._all.find(query, limit=limit, projection=["_id"]):
            await self.set_aside(one["_id"], NO_ACCOUNT)

    async def read_due(self, account_id: ObjectId, limit: int, now: datetime) -> list[Document]:
        """The first events of the account that are due at `now`, in their order: at most `limit`, and at most 32 MB
        unless one alone is larger."""
        mine = {"status": "new", "account_id": either(account_id), **await self._available()}
        fresh = await self._first_reply({**mine, "next_at": None}, limit)
        again = await self._first_reply({**mine, "next_at": {"$ne": None}, **_time_has_come(now)}, limit)
        # A reply that was cut off hides events that may come before some of the other reply.
        ends = [place_of(some[-1]) for some, is_cut in (fresh, again) if is_cut]
        events = [event for some, _ in (fresh, again) for event in some if all(place_of(event) <= end for end in ends)]
        return sorted(events, key=place_of)[:limit]

    async def _first_reply(self, query: Document, limit: int) -> tuple[list[Document], bool]:
        """The first documents, as many as one reply holds, and whether there are more."""
        first: list[Document] = []
        async for reply in self._own.replies(query, sort=ORDER, limit=limit + 1):
            if first:
                return first[:limit], True
            first = reply
        return first[:limit], len(first) > limit

    async def failing(self, account_id: ObjectId, keys: Sequence[str], now: datetime) -> list[Document]:
        """`{failing_key, occurred_at, next_at}` of events of these keys that wait at `now` for another attempt. With
        the `now` of `read_due` an event is in one of the two, whatever becomes due in between."""
        waits = {"status": "new", "next_at": {"$gt": now, "$lte": now + MAX_AHEAD}}
        query = {"account_id": either(account_id), "failing_key": {"$in": list(keys)}, **waits}
        return await self._own.find(query, projection=["failing_key", "occurred_at", "next_at"])

    async def put_off(self, account_id: ObjectId, ids: Sequence[Any], until: datetime) -> None:
        """Let events wait, because an earlier one of their key does; this is no attempt."""
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "status": "new"}
        await self._changes.update(query, [{"$set": {"next_at": until}}])

    async def count_crashes(self, account_id: ObjectId, id: Any) -> None:
        """Count that a run begins this event alone, after runs had ended in the middle."""
        query = {"_id": id, "account_id": either(account_id), "status": "new"}
        await self._changes.update(query, [{"$set": {"crashes": {"$add": [whole("$crashes"), 1]}}}])

    async def fail(self, account_id: ObjectId, failures: Mapping[Any, Document]) -> None:
        """Store failed attempts: {event id: the fields to set, with an entry `error` for `errors`}."""
        mine = {"account_id": either(account_id), "status": "new"}
        await self._changes.bulk(
            [(id, UpdateOne({"_id": id, **mine}, _failed(values))) for id, values in failures.items()]
        )

    async def end(
        self, account_id: ObjectId, ids: Sequence[Any], consumed: Sequence[str], onward: Sequence[str], **values: Any
    ) -> None:
        """Make events `done`, or what `values` says. They go onward once, also when they are consumed again later; then
        to all, whomever a replay was for before."""
        done, was_handed_on = {"$ifNull": ["$consumed", []]}, {"$eq": ["$handed_on", True]}
        literal = {name: {"$literal": value} for name, value in {"status": "done", **values}.items()}
        change = {
            **literal,
            "consumed": {"$setUnion": [{"$cond": [{"$isArray": done}, done, []]}, {"$literal": list(consumed)}]},
            "onward": {"$cond": [was_handed_on, "$onward", {"$literal": list(onward)}]},
            "only": {"$cond": [was_handed_on, "$only", "$$REMOVE"]},
            "handed_on": True,
            "ended_at": "$$NOW",
            "updatedAt": "$$NOW",
        }
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "status": "new"}
        gone = ["next_at", "failing_key", "crashes", "given_up"]
        await self._changes.update(query, [{"$set": change}, {"$unset": gone}])

    async def set_aside(self, id: Any, reason: str) -> None:
        """Set the event aside: nothing reads it until an operator releases it."""
        await self._quarantine.add(CRM_EVENTS.name, id, reason)

    async def onward_accounts(self, name: str) -> list[Any]:
        """The accounts with ended events that `name` has not taken, the account as the events name it."""
        query = {"onward": name, **await self._available()}
        found = await self._all.aggregate(query, {"$group": {"_id": "$account_id"}})
        return [one["_id"] for one in found]

    async def find_onward(self, name: str, limit: int) -> list[Document]:
        """`{_id, account_id}` of ended events that `name` has not taken: `run-once` counts them."""
        query = {"onward": name, **await self._available()}
        return await self._all.find(query, limit=limit, projection=["account_id"])

    async def read_onward(self, account_id: ObjectId, name: str, limit: int) -> list[Document]:
        """The account's ended events that `name` has not taken, in their order: at most `limit`, and 16 MB."""
        query = {"onward": name, "account_id": either(account_id), **await self._available()}
        async for reply in self._own.replies(query, sort=ORDER, limit=limit):
            return reply
        return []

    async def taken(self, account_id: ObjectId, name: str, ids: Sequence[Any]) -> None:
        """Remove the name from `onward` of these events: all that follows from them for it is stored. An `onward` that
        is no list is the name itself, and is removed: else the event would be read again without end."""
        names = {"$cond": [{"$isArray": "$onward"}, "$onward", []]}
        left = {"$filter": {"input": names, "cond": {"$ne": ["$$this", name]}}}
        change = {"onward": {"$cond": [{"$eq": [left, []]}, "$$REMOVE", left]}}
        query = {"_id": {"$in": list(ids)}, "account_id": either(account_id), "onward": name}
        await self._changes.update(query, [{"$set": change}, {"$unset": f"only.{name}"}])

    async def not_taken(self, ids: Sequence[Any], name: str) -> set[Any]:
        """Those of the events that `name` has not taken."""
        return {
            one["_id"] for one in await self._all.find({"_id": {"$in": list(ids)}, "onward": name}, projection=["_id"])
        }

    async def get(self, id: str) -> Document | None:
        """The event of any account, by its id as text."""
        return await self._all.find_one({"_id": {"$in": _spellings(id)}})

    async def of_account(self, account_id: ObjectId, id: str) -> Document | None:
        """The event, by its id as text, if it is the account's; before one whose id is an ObjectId comes one whose id
        is a text, as the engine's are."""
        query = {"_id": {"$in": _spellings(id)}, "account_id": either(account_id)}
        return await self._own.find_one(query, sort=[("_id", 1)])

    async def states(self, ids: Sequence[str]) -> dict[str, Document]:
        """{id as text: event with its state} of the events that exist."""
        query = {"_id": {"$in": [one for id in ids for one in _spellings(id)]}}
        found = await self._all.find(query, projection=["status", "next_at", "failing_key", "onward"])
        return {str(one["_id"]): one for one in found}

    async def retry(self, event: Mapping[str, Any]) -> bool:
        """Make a dead event due again; the consumers that are done stay so. False when it is not dead."""
        query = {"_id": event["_id"], "account_id": {"$eq": event.get("account_id")}, "status": "dead"}
        again = {"status": "new", "attempts": 0, "errors": [], "retries": min(int(event.get("retries", 0)), 1000) + 1}
        change = {"$set": again, "$unset": {"next_at": "", "error": "", "given_up": ""}}
        return await self._own.update_one(query, {**change, "$currentDate": {"updatedAt": True}}) == 1

    async def _available(self) -> Document:
        return await self._quarantine.others(CRM_EVENTS.name)

    async def _due(self) -> Document:
        query = {"status": "new", "$or": [{"next_at": None}, _time_has_come(self._clock.now())]}
        return {**query, **await self._available()}


def _time_has_come(now: datetime) -> Document:
    """A filter: `next_at` is past, or not a time that the engine can have written."""
    late = {"next_at": {"$gt": now + MAX_AHEAD}}
    return {"$or": [{"next_at": {"$lte": now}}, {"next_at": {"$not": {"$type": "date"}}}, late]}


def _failed(values: Document) -> Document:
    own = {name: value for name, value in values.items() if name != "error"}
    return {"$set": own, "$push": {"errors": {"$each": [values["error"]], "$slice": -MAX_ERRORS}}}


def _spellings(id: str) -> list[Any]:
    return [id, ObjectId(id)] if ObjectId.is_valid(id) else [id]
