"""Messages that are not stored, each with the reason: parked, because they cannot be read, or filtered, because the
mailbox's settings leave them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

PARKED, FILTERED = "parked", "filtered"
MAX_REASON_CHARS = 300
MAX_RETRIES = 3
RETRY_EVERY = timedelta(hours=12)
_TRIES_LEFT = {"retries": {"$not": {"$gte": MAX_RETRIES}}}

EMAIL_PARKED = CollectionSpec(
    "email_parked",
    indexes=(
        index("account_id", "email_account_id", "folder", "uid"),
        index("email_account_id", "message_id"),
        index("state"),
    ),
)


@dataclass(frozen=True)
class LeftOut:
    """A message of a folder that is not stored. `message_id` may be '' where it is not known."""

    uid: int
    state: str
    reason: str
    message_id: str = ""
    can_retry: bool = True
    """False: runs that came to it ended; it is fetched again MAX_RETRIES times at most, each on its own."""


class EmailParked:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(EMAIL_PARKED)
        self._clock = store.clock

    async def add(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, left_out: Sequence[LeftOut]) -> None:
        """Store which messages are left out and why; what is stored already stays."""
        rows = [self._row(mailbox, folder, uidvalidity, one) for one in left_out]
        await self._own.insert_missing(rows)

    def _row(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, one: LeftOut) -> Document:
        place = {"folder": folder, "uidvalidity": uidvalidity, "uid": one.uid}
        why = {"state": one.state, "reason": logs.clean(one.reason)[:MAX_REASON_CHARS]}
        return {
            "_id": derived_id("email parked", mailbox["_id"], folder, uidvalidity, one.uid),
            "account_id": mailbox["account_id"],
            "email_account_id": mailbox["_id"],
            **place,
            **why,
            "message_id": one.message_id,
            "can_retry": one.can_retry,
            "createdAt": self._clock.now(),
        }

    async def at(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, uids: Sequence[int]) -> set[int]:
        """Those of the UIDs in the folder that are left out."""
        place = {"folder": folder, "uidvalidity": uidvalidity, "uid": {"$in": list(uids)}}
        return {one["uid"] for one in await self._own.find({**_of(mailbox), **place}, projection=["uid"])}

    async def suspects(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int) -> set[int]:
        """The UIDs in the folder of messages to which runs came that ended."""
        place = {"folder": folder, "uidvalidity": uidvalidity, "can_retry": False}
        return {one["uid"] for one in await self._own.find({**_of(mailbox), **place}, projection=["uid"])}

    async def parked(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int) -> list[int]:
        """The UIDs in the folder of messages that could not be stored, ascending."""
        place = {"folder": folder, "uidvalidity": uidvalidity, "state": PARKED}
        return sorted(one["uid"] for one in await self._own.find({**_of(mailbox), **place}, projection=["uid"]))

    async def any_to_retry(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int) -> bool:
        """Whether one of `suspects` is fetched again some day."""
        place = {"folder": folder, "uidvalidity": uidvalidity, "can_retry": False}
        return await self._own.find_one({**_of(mailbox), **place, **_TRIES_LEFT}, projection=["uid"]) is not None

    async def retried(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, uid: int) -> bool:
        """Count that one of `suspects` is fetched again; False when that was done often enough, or a moment ago."""
        now = self._clock.now()
        due = {**_TRIES_LEFT, "retried_at": {"$not": {"$gt": now - RETRY_EVERY}}}
        place = {"folder": folder, "uidvalidity": uidvalidity, "uid": uid, "can_retry": False}
        change = {"$set": {"retried_at": now}, "$inc": {"retries": 1}}
        return await self._own.update_one({**_of(mailbox), **place, **due}, change) == 1

    async def take_back(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, uids: Sequence[int]) -> None:
        """Forget that these were left out: they are stored now, or gone."""
        if uids:
            place = {"folder": folder, "uidvalidity": uidvalidity, "uid": {"$in": list(uids)}}
            await self._own.delete({**_of(mailbox), **place})

    async def forget_others(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int) -> None:
        """Delete the rows of the folder whose UIDs mean nothing any more."""
        await self._own.delete({**_of(mailbox), "folder": folder, "uidvalidity": {"$ne": uidvalidity}})

    async def forget(self, mailbox: Mapping[str, Any]) -> None:
        """Delete all rows of the mailbox, so that a resync looks at everything again."""
        await self._own.delete(_of(mailbox))

    async def latest(self, mailbox: Mapping[str, Any], state: str, limit: int) -> list[Document]:
        """Messages that are left out in this state, the newest first."""
        return await self._own.find({**_of(mailbox), "state": state}, limit=limit, sort=[("createdAt", -1)])

    async def counts(self, mailbox: Mapping[str, Any]) -> dict[str, int]:
        """{state: how many messages of the mailbox}."""
        found = await self._own.aggregate(_of(mailbox), {"$group": {"_id": "$state", "count": {"$sum": 1}}})
        return {str(one["_id"]): int(one["count"]) for one in found}

    async def count_parked(self) -> int:
        """How many messages of all accounts are parked."""
        return await self._own.everywhere.count({"state": PARKED})


def _of(mailbox: Mapping[str, Any]) -> Document:
    return {"account_id": {"$eq": mailbox["account_id"]}, "email_account_id": mailbox["_id"]}
