"""The record of every effect that leaves the engine (e-mail, SMS, call to the CRM's API): one document per unit.

An attempt is recorded before its call is made, so a crash in between leaves the state `sending`, never nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=180)

EFFECTS = CollectionSpec(
    "effects",
    indexes=(EXPIRY_INDEX,),
)


class Effects:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(EFFECTS)
        self._clock = store.clock

    async def records(self, account_id: ObjectId, keys: Sequence[str]) -> dict[str, Document]:
        """{key: record} of the keys that have one."""
        found = await self._own.find({"_id": {"$in": list(keys)}, "account_id": account_id})
        return {one["_id"]: one for one in found}

    async def begin_attempts(
        self, account_id: ObjectId, channel: str, known: Mapping[str, Mapping[str, Any] | None]
    ) -> dict[str, int]:
        """Record an attempt for each key of `known` ({key: record or None}) before its call is made.

        Returns {key: number of the attempt}; a key for which another run began an attempt meanwhile is left out."""
        fresh = [key for key, record in known.items() if record is None]
        begun = dict.fromkeys(await self._insert(account_id, channel, fresh), 1)
        for key, record in known.items():
            if record is not None and await self._begin_again(account_id, record):
                begun[key] = record["attempts"] + 1
        return begun

    async def _insert(self, account_id: ObjectId, channel: str, keys: Sequence[str]) -> list[str]:
        now = self._clock.now()
        state = {"account_id": account_id, "channel": channel, "state": "sending", "attempts": 1, "ambiguous": False}
        times = {"createdAt": now, "updatedAt": now, "expires_at": now + RETENTION}
        history = [{"state": "sending", "at": now}]
        documents = [{"_id": key, **state, **times, "history": history} for key in keys]
        if not documents:
            return []
        try:
            await self._own.insert_many(documents, ordered=False)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            taken = {error["index"] for error in failure.details["writeErrors"]}
            return [key for place, key in enumerate(keys) if place not in taken]
        return list(keys)

    async def _begin_again(self, account_id: ObjectId, record: Mapping[str, Any]) -> bool:
        now = self._clock.now()
        was = {"_id": record["_id"], "account_id": account_id}
        was |= {"state": record["state"], "attempts": record["attempts"]}
        # A run that ended during its call may have sent the message: this attempt may send it a second time.
        doubtful = record["state"] in ("sending", "unknown")
        change = {"state": "sending", "updatedAt": now, **({"ambiguous": True} if doubtful else {})}
        counts = {"attempts": 1, "doubts": int(doubtful)}
        history = {"history": {"$each": [{"state": "sending", "at": now}], "$slice": -20}}
        return await self._own.update_one(was, {"$set": change, "$inc": counts, "$push": history}) == 1

    async def end_attempts(self, account_id: ObjectId, ended: Mapping[str, tuple[int, Mapping[str, Any]]]) -> None:
        """Store the result of each attempt, {key: (attempt, change)}, unless another run has begun a later attempt."""
        now = self._clock.now()
        writes = [
            UpdateOne(
                {"_id": key, "account_id": account_id, "attempts": attempt},
                {
                    "$set": {**change, "updatedAt": now},
                    "$push": {"history": {"$each": [{"state": change["state"], "at": now}], "$slice": -20}},
                },
            )
            for key, (attempt, change) in ended.items()
        ]
        if writes:
            await self._own.bulk(writes)

    async def mark_unknown(self, account_id: ObjectId, keys: Sequence[str]) -> None:
        """Mark effects that are still `sending` as unknown: their run ended in the middle, so they may be sent or
        not."""
        now = self._clock.now()
        change = {"state": "unknown", "ambiguous": True, "updatedAt": now}
        history = {"history": {"$each": [{"state": "unknown", "at": now}], "$slice": -20}}
        query = {"_id": {"$in": list(keys)}, "account_id": account_id, "state": "sending"}
        await self._own.update_many(query, {"$set": change, "$push": history})
