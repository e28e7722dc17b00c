"""The record of every effect that leaves the engine (e-mail, SMS, call to the CRM's API): one document per unit.

An attempt is recorded before its call is made, so a crash in between leaves the state `sending`, never nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, WriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, having, index
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=180)

EFFECTS = CollectionSpec(
    "effects",
    indexes=(EXPIRY_INDEX, index("to_hash", "updatedAt", **having("to_hash"))),
)


@dataclass(frozen=True)
class Begin:
    """An attempt that is about to be made; `record` is the record of the attempts before, if there were any."""

    key: str
    channel: str
    record: Mapping[str, Any] | None = None
    to_hash: str | None = None
    """The hash of the telephone number that an SMS goes to."""

    @property
    def attempt(self) -> int:
        """Its number, from 1."""
        return self.record["attempts"] + 1 if self.record else 1


@dataclass(frozen=True)
class End:
    """The fields of the record that the attempt of this number sets."""

    key: str
    attempt: int
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Hold:
    """A message that waits for the send window until this time, or that has waited for too long (None). `since`: when
    it was first held."""

    key: str
    record: Mapping[str, Any] | None
    since: datetime
    until: datetime | None
    why: str


class Effects:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(EFFECTS)
        self._clock = store.clock

    async def records(self, account_id: ObjectId, keys: Sequence[str]) -> dict[str, Document]:
        """{key: record} of the keys that have one."""
        found = await self._own.find({"_id": {"$in": list(keys)}, "account_id": account_id})
        return {one["_id"]: one for one in found}

    async def write(self, account_id: ObjectId, changes: Sequence[Begin | End]) -> list[bool | Exception]:
        """Store attempts that begin and attempts that ended, in one bulk write and in their order.

        Returns for each whether it took effect, or its error. A `Begin` is refused when another run has begun an
        attempt meanwhile; an `End` does nothing when another run has begun a later one.

        Raises: what pymongo raises when it is not known what was stored.
        """
        now = self._clock.now()
        answers: list[bool | Exception] = [True] * len(changes)
        try:
            await self._own.bulk(
                [
                    _begin(account_id, one, now) if isinstance(one, Begin) else _end(account_id, one, now)
                    for one in changes
                ]
            )
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            for error in failure.details["writeErrors"]:
                is_taken = error["code"] == DUPLICATE_KEY and isinstance(changes[error["index"]], Begin)
                answers[error["index"]] = False if is_taken else WriteError(error["errmsg"], error["code"], error)
        return answers

    async def accounts_that_texted(self, to_hash: str, limit: int) -> list[Any]:
        """The accounts that sent an SMS to the number of this hash, the latest first."""
        found = await self._own.everywhere.find(
            {"to_hash": to_hash}, limit=limit, sort=[("updatedAt", -1)], projection=["account_id"]
        )
        return list(dict.fromkeys(one["account_id"] for one in found))

    async def texts_to(self, account_id: ObjectId, to_hash: str, limit: int) -> list[str]:
        """The keys under which the account sent an SMS to the number of this hash, the latest first."""
        query = {"to_hash": to_hash, "account_id": account_id}
        found = await self._own.find(query, limit=limit, sort=[("updatedAt", -1)], projection=["_id"])
        return [one["_id"] for one in found]

    async def hold(self, account_id: ObjectId, channel: str, holds: Sequence[Hold]) -> None:
        """Store why messages wait, or are given up, and until when; no attempt is counted. One whose record another run
        has changed meanwhile stays as it is."""
        now = self._clock.now()
        with suppress(BulkWriteError):  # the upsert for a record that has changed meets its `_id`
            await self._own.bulk([_hold(account_id, channel, one, now) for one in holds])

    async def begin_in_doubt(self, account_id: ObjectId, channel: str, keys: Sequence[str]) -> None:
        """Insert the missing records of effects that may have been had under other keys, so that each of them is
        flagged as a possible double before its first attempt."""
        now = self._clock.now()
        own = {
            "account_id": account_id,
            "channel": channel,
            "state": "planned",
            "attempts": 0,
            "doubts": 0,
            "ambiguous": True,
        }
        times = {"createdAt": now, "updatedAt": now, "expires_at": now + RETENTION}
        await self._own.insert_missing([{"_id": key, **own, **times} for key in keys])

    async def mark_unknown(self, account_id: ObjectId, keys: Sequence[str]) -> None:
        """Mark effects that are still `sending` as unknown: their run ended in the middle, so they may be sent or
        not."""
        now = self._clock.now()
        change = {"state": "unknown", "ambiguous": True, "updatedAt": now}
        query = {"_id": {"$in": list(keys)}, "account_id": account_id, "state": "sending"}
        await self._own.update_many(query, {"$set": change, "$push": _history("unknown", now)})


def _begin(account_id: ObjectId, begin: Begin, now: datetime) -> UpdateOne:
    """Begins the attempt if the record is as it was read. If not, the upsert meets its `_id`, and is refused."""
    record = begin.record or {"state": None, "attempts": 0}
    was = {"_id": begin.key, "account_id": account_id, "state": record["state"], "attempts": record["attempts"]}
    # A run that ended during its call may have sent the message: this attempt may send it a second time.
    doubtful = record["state"] in ("sending", "unknown")
    new = {"channel": begin.channel, "createdAt": now, "expires_at": now + RETENTION}
    change = {"state": "sending", "updatedAt": now} | ({"to_hash": begin.to_hash} if begin.to_hash else {})
    update = {
        "$set": {**change, "ambiguous": True} if doubtful else change,
        "$setOnInsert": new if doubtful else {**new, "ambiguous": False},
        "$inc": {"attempts": 1, "doubts": int(doubtful)},
        "$push": _history("sending", now),
    }
    return UpdateOne(was, update, upsert=True)


def _hold(account_id: ObjectId, channel: str, hold: Hold, now: datetime) -> UpdateOne:
    record = hold.record or {"state": None, "attempts": 0}
    was = {"_id": hold.key, "account_id": account_id, "state": record["state"], "attempts": record["attempts"]}
    state = "held" if hold.until else "failed"
    # That an earlier attempt may have sent it must stay known.
    kept = record["state"] if hold.until and record["state"] in ("sending", "unknown") else state
    change = {"state": kept, "held_since": hold.since, "held_until": hold.until, "error": hold.why, "updatedAt": now}
    new = {"channel": channel, "doubts": 0, "ambiguous": False, "createdAt": now, "expires_at": now + RETENTION}
    entry = {"state": state, "at": now, "why": hold.why}
    pushed = {"history": {"$each": [entry], "$slice": -20}}
    return UpdateOne(was, {"$set": change, "$setOnInsert": new, "$push": pushed}, upsert=True)


def _end(account_id: ObjectId, end: End, now: datetime) -> UpdateOne:
    was = {"_id": end.key, "account_id": account_id, "attempts": end.attempt}
    return UpdateOne(was, {"$set": {**end.change, "updatedAt": now}, "$push": _history(end.change["state"], now)})


def _history(state: str, now: datetime) -> Mapping[str, Any]:
    return {"history": {"$each": [{"state": state, "at": now}], "$slice": -20}}
