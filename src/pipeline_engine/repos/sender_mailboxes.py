"""Mailboxes as senders: whose mails leave through them, how many a day, and at which distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.expressions import whole
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.workflows import forms

SENDER_MAILBOXES = CollectionSpec("email_accounts", indexes=(index("account_id", "user_id"),))
NO_CAP = 2**31
MAX_GAP_SECONDS = 366 * 86400
SENDING: Document = {"active": {"$ne": False}, "smtp.host": {"$exists": True}}
"""A filter for mailboxes through which mails can be sent."""


@dataclass(frozen=True)
class Allowance:
    """How many mails may leave through a mailbox now. Where these are fewer than wanted: `next_at` is when the next
    may, None when today's are used up."""

    mails: int
    next_at: datetime | None


class SenderMailboxes:
    """The documents of `email_accounts`, of which this repo writes the field `sends` alone: {day, count, next_at}."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(SENDER_MAILBOXES)

    async def of_users(self, account_id: ObjectId, users: Sequence[Any]) -> list[Document]:
        """The active mailboxes of these users of the account, the oldest first; also those that can only be read."""
        known = [form for user in users for form in forms(user)]
        query = {"account_id": either(account_id), "user_id": {"$in": known}, "active": {"$ne": False}}
        return await self._own.find(query, sort=[("_id", 1)]) if known else []

    async def sending(self, account_id: ObjectId, ids: Sequence[Any]) -> list[Document]:
        """Those of these mailboxes of the account that are active and can send."""
        query = {"account_id": either(account_id), "_id": {"$in": list(ids)}, **SENDING}
        return await self._own.find(query) if ids else []

    async def allow(self, account_id: ObjectId, id: Any, wanted: int, day: str, now: datetime) -> Allowance:
        """Count up to `wanted` mails against the mailbox's `daily_cap` of this local day. With a `min_gap_seconds` one
        mail is allowed, and the next after the gap."""
        gap = {"$multiply": [1000, {"$min": [whole("$min_gap_seconds"), MAX_GAP_SECONDS]}]}
        count = {"$cond": [{"$eq": ["$sends.day", day]}, whole("$sends.count"), 0]}
        cap = {"$cond": [{"$isNumber": "$daily_cap"}, whole("$daily_cap"), NO_CAP]}
        together = {"$cond": [{"$gt": [gap, 0]}, 1, wanted]}
        left = {"$max": [0, {"$min": [{"$subtract": [cap, count]}, together]}]}
        rests = {"$and": [{"$eq": [{"$type": "$sends.next_at"}, "date"]}, {"$gt": ["$sends.next_at", now]}]}
        granted = {"$cond": [rests, 0, left]}
        next_at = {"$cond": [{"$gt": [granted, 0]}, {"$add": [now, gap]}, {"$ifNull": ["$sends.next_at", None]}]}
        sends = {"day": day, "count": {"$add": [count, granted]}, "granted": granted, "next_at": next_at}
        mine = {"_id": id, "account_id": either(account_id)}
        # An object alone would be merged into whatever stands there, also into each item of a list.
        stored = await self._own.find_one_and_update(mine, [{"$set": {"sends": {"$mergeObjects": [sends]}}}])
        return _allowance(stored or {}, wanted, now)

    async def give_back(self, account_id: ObjectId, id: Any, mails: int, day: str) -> None:
        """Lower the mailbox's count of this local day, unless another day's or something else stands there."""
        counted = {"_id": id, "account_id": either(account_id), "sends.day": day, "sends.count": {"$gte": mails}}
        await self._own.update_one(counted, {"$inc": {"sends.count": -mails}})

    async def note(self, account_id: ObjectId, id: Any, error: str | None) -> None:
        """Store why no mail can be sent through the mailbox; None: it can."""
        change = {"$set": {"send_error": error}} if error else {"$unset": {"send_error": ""}}
        await self._own.update_one({"_id": id, "account_id": either(account_id)}, change)


def _allowance(mailbox: Mapping[str, Any], wanted: int, now: datetime) -> Allowance:
    sends = mailbox.get("sends") or {}
    mails, next_at = int(sends.get("granted") or 0), usable_date(sends.get("next_at"))
    return Allowance(mails, next_at if mails < wanted and next_at and next_at > now else None)
