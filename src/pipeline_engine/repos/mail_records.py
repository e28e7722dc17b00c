"""What follows from mails is looked up and written here: whose mail was answered, bounces, links to contacts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, having, index
from pipeline_engine.repos.email_messages import EMAIL_MESSAGES
from pipeline_engine.repos.store import Store

BOUNCE_RETENTION = timedelta(days=60)

EMAIL_BOUNCES = CollectionSpec(
    "email_bounces",
    indexes=(
        index("account_id", "address", "at"),
        index("account_id", "at", **having("sequence_id")),
        EXPIRY_INDEX,
    ),
)
MAIL_LINKS = CollectionSpec("mail_links")
FOLLOW_COLLECTIONS: tuple[CollectionSpec, ...] = (EMAIL_BOUNCES, MAIL_LINKS)


class MailRecords:
    """Every query is of one account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._messages = store.collection(EMAIL_MESSAGES)
        self._bounces = store.collection(EMAIL_BOUNCES)
        self._links = store.collection(MAIL_LINKS)
        self._clock = store.clock

    async def one(self, collection: str, account_id: ObjectId, id: Any, *fields: str) -> Document:
        """These fields of a document of the account; empty when there is no such document."""
        query = {"_id": {"$in": _forms(id)}, "account_id": either(account_id)}
        return await self._store.collection(collection).find_one(query, projection=list(fields)) or {}

    # --- messages

    async def outgoing(self, account_id: ObjectId, message_ids: Sequence[str]) -> dict[str, Document]:
        """{Message-ID: stored message} of those of them that left a mailbox of the account."""
        query = {"account_id": either(account_id), "message_id": {"$in": list(message_ids)}, "direction": "out"}
        found = await self._messages.find(query, projection=["message_id", "email_account_id"])
        return {one["message_id"]: one for one in found}

    async def link(self, account_id: ObjectId, message: Any, links: Document) -> None:
        """Store to whom a message belongs."""
        query = {"_id": message, "account_id": either(account_id)}
        await self._messages.update_one(query, {"$set": links, "$unset": {"unlinked": ""}})

    async def unlinked_addresses(self, account_id: ObjectId, after: str, limit: int) -> list[str]:
        """The addresses behind `after`, in their order, whose messages belong to no contact yet."""
        query = {"account_id": account_id, "unlinked": {"$gt": after}}
        stages: list[Document] = [
            {"$sort": {"account_id": 1, "unlinked": 1}},
            {"$group": {"_id": "$unlinked"}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ]
        return [one["_id"] for one in await self._messages.aggregate(query, *stages)]

    async def unlinked_from(self, account_id: ObjectId, address: str, limit: int) -> list[Document]:
        """Messages of this address that belong to no contact yet, the oldest first."""
        query = {"account_id": account_id, "unlinked": address}
        return await self._messages.find(query, limit=limit, sort=[("_id", 1)], projection={"text": 0, "html": 0})

    async def link_mark(self, account_id: ObjectId) -> str:
        """The address up to which the account's unlinked messages were compared with its contacts."""
        found = await self._links.find_one({"_id": account_id, "account_id": account_id})
        return str((found or {}).get("after") or "")

    async def set_link_mark(self, account_id: ObjectId, after: str) -> None:
        """Go on behind this address next time; '' begins again."""
        query = {"_id": account_id, "account_id": account_id}
        change = {"$set": {"after": after}, "$currentDate": {"looked_at": True}}
        await self._links.update_one(query, change, upsert=True)

    async def looked_at(self, accounts: Sequence[ObjectId], since: datetime) -> set[ObjectId]:
        """Those of the accounts whose unlinked messages were compared with contacts since then."""
        query = {"_id": {"$in": list(accounts)}, "looked_at": {"$gt": since}}
        return {one["_id"] for one in await self._links.everywhere.find(query, projection=["_id"])}

    # --- bounces

    async def add_bounces(self, bounces: Sequence[Document]) -> None:
        """Insert the bounces that are missing."""
        expires_at = self._clock.now() + BOUNCE_RETENTION
        await self._bounces.insert_missing([{**one, "expires_at": expires_at} for one in bounces])

    async def count_bounces(self, account_id: ObjectId, address: str, since: datetime) -> int:
        """How many mails to this address have bounced since then."""
        return await self._bounces.count({"account_id": account_id, "address": address, "at": {"$gte": since}})

    async def bounced_of_sequences(
        self, account_id: ObjectId, since: datetime, mailbox: Any = None
    ) -> tuple[int, list[Any]]:
        """How many mails of sequences have bounced since then, and the ids of these sequences; with `mailbox` only of
        those that left it."""
        query: Document = {"account_id": account_id, "at": {"$gte": since}, "sequence_id": {"$exists": True}}
        query |= {"sender_id": mailbox} if mailbox else {}
        group = {"$group": {"_id": "$sequence_id", "count": {"$sum": 1}}}
        found = await self._bounces.aggregate(query, group)
        return sum(one["count"] for one in found), [one["_id"] for one in found]

    # --- sequences

    async def sequence_sends(self, account_id: ObjectId, since: datetime, mailbox: Any = None) -> int:
        """How many mails of sequences were sent since then; with `mailbox` only those that left it."""
        query: Document = {"account_id": account_id, "type": "sequence_email", "occurred_at": {"$gte": since}}
        query |= {"data.email_account_id": {"$in": [mailbox, str(mailbox)]}} if mailbox else {}
        return await self._store.collection("activities").count(query)

    async def pause_sequences(self, account_id: ObjectId, paused: Document, ids: Sequence[Any] | None = None) -> int:
        """Pause active sequences of the account, or those with one of these ids. Returns how many that were."""
        query: Document = {"account_id": either(account_id), "active": True, "paused": {"$in": [None, False]}}
        query |= {} if ids is None else {"_id": {"$in": [form for id in ids for form in _forms(id)]}}
        change = {"$set": {"paused": paused}, "$currentDate": {"updatedAt": True}}
        return await self._store.collection("sequences").update_many(query, change)

    async def breaker_since(self, account_id: ObjectId, scope: str) -> datetime | None:
        """When the circuit breaker of this mailbox or account last tripped."""
        found = await self._links.find_one({"_id": f"breaker:{scope}", "account_id": account_id})
        return found.get("tripped_at") if found else None

    async def set_breaker(self, account_id: ObjectId, scope: str, now: datetime) -> None:
        """Store that the circuit breaker tripped, so that what bounced before counts no more."""
        query = {"_id": f"breaker:{scope}", "account_id": account_id}
        await self._links.update_one(query, {"$set": {"tripped_at": now}}, upsert=True)


def _forms(id: Any) -> list[Any]:
    return [id, str(id)] if isinstance(id, ObjectId) else [id, ObjectId(id)] if ObjectId.is_valid(id) else [id]
