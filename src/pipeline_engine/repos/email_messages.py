"""Messages of mailboxes, each once: under an `_id` that follows from mailbox and Message-ID."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.own_fields import date, number, text
from pipeline_engine.repos.store import Store

KNOWN_FIELDS = ("message_id", "folder", "uidvalidity", "uid")

EMAIL_MESSAGES = CollectionSpec(
    "email_messages",
    indexes=(
        index(
            "account_id", "email_account_id", "message_id", unique=True, partialFilterExpression={"kind": {"$gt": ""}}
        ),
        index("account_id", "message_id"),
        index("account_id", "thread_id"),
        index("account_id", "related_ids"),
        index("account_id", "unlinked", "_id", **having("unlinked")),
        index("email_account_id", "folder", "uid", **having("uid")),
        index("email_account_id", "follow_due", **having("follow_due")),
    ),
    own={
        **dict.fromkeys(("follow_due",), date),
        **dict.fromkeys(("uidvalidity", "uid", "follow_failures"), number),
        **dict.fromkeys(("kind", "folder"), text),
    },
)


def message_row_id(email_account_id: Any, message_id: str) -> ObjectId:
    """The `_id` of a message's row, whichever system writes it: sync, or a sequence that sent it."""
    return derived_id("email message", email_account_id, message_id)


class EmailMessages:
    """The queries that read mailboxes; what follows from messages has its own."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(EMAIL_MESSAGES)

    async def known(self, mailbox: Mapping[str, Any], message_ids: Sequence[str]) -> list[Document]:
        """Those of the messages that are stored, each with the place at which it was seen last."""
        query = {**_of(mailbox), "message_id": {"$in": list(message_ids)}}
        return await self._own.find(query, projection=list(KNOWN_FIELDS))

    async def at(self, mailbox: Mapping[str, Any], folder: str, uidvalidity: int, uids: Sequence[int]) -> set[int]:
        """Those of the UIDs in the folder of which a message is stored."""
        place = {"folder": folder, "uidvalidity": uidvalidity, "uid": {"$in": list(uids)}}
        return {one["uid"] for one in await self._own.find({**_of(mailbox), **place}, projection=["uid"])}

    async def add(self, rows: Sequence[Document]) -> None:
        """Insert the messages that are missing."""
        await self._own.insert_missing(rows)

    async def threads(self, account_id: Any, ids: Iterable[str]) -> dict[str, str]:
        """{Message-ID: thread} of those of the ids that a stored message of the account has or refers to."""
        wanted = set(ids)
        some = list(wanted)
        query = {"account_id": account_id, "$or": [{"message_id": {"$in": some}}, {"related_ids": {"$in": some}}]}
        rows = await self._own.find(query, projection=["message_id", "related_ids", "thread_id"], sort=[("_id", 1)])
        found: dict[str, str] = {}
        for row in rows:
            thread = str(row.get("thread_id") or row["message_id"])
            found |= dict.fromkeys(wanted.intersection(row.get("related_ids") or ()), thread)
            found |= {row["message_id"]: thread} if row["message_id"] in wanted else {}
        return found

    async def merge_threads(self, account_id: Any, old: str, into: str) -> None:
        """Move the messages of one thread into another."""
        await self._own.update_many({"account_id": account_id, "thread_id": old}, {"$set": {"thread_id": into}})

    async def note_places(self, places: Mapping[ObjectId, Document], account_id: Any) -> None:
        """Store at which place ({folder, uidvalidity, uid}) messages stand now: they were moved, or renumbered."""
        writes = [UpdateOne(_row(id, account_id), {"$set": dict(place)}) for id, place in places.items()]
        if writes:
            await self._own.bulk(writes)

    async def to_follow(self, mailbox: Mapping[str, Any], limit: int) -> list[Document]:
        """Messages of which what follows is not done yet, the oldest first."""
        query = {**_of(mailbox), "follow_due": {"$type": "date"}}
        return await self._own.find(query, limit=limit, sort=[("follow_due", 1), ("date", 1)])

    async def followed(self, done: Sequence[tuple[Document, Document]]) -> dict[int, str]:
        """Store that all that follows from these messages is done, and to whom each belongs: [(row, fields)].

        Returns {place in `done`: why} of the rows that the server refuses to change.
        """
        writes = [UpdateOne(_row(row["_id"], row["account_id"]), _followed(fields)) for row, fields in done]
        refusals = await self._own.bulk_refusals(writes)
        return {place: f"MongoDB: error {code}" for place, code in refusals.items()}

    async def not_followed(self, row: Mapping[str, Any], error: str, is_last: bool) -> None:
        """Count a failure of what follows; after the last one, it is given up and the reason stays in the row."""
        change: Document = {"$set": {"follow_error": error}, "$inc": {"follow_failures": 1}}
        if is_last:
            change["$unset"] = {"follow_due": ""}
        await self._own.update_one(_row(row["_id"], row["account_id"]), change)

    async def give_up(self, row: Mapping[str, Any]) -> None:
        """Nothing more follows from this message; of a row that can take in no reason."""
        await self._own.update_one(_row(row["_id"], row["account_id"]), {"$unset": {"follow_due": ""}})

    async def count(self, mailbox: Mapping[str, Any]) -> int:
        """How many messages of the mailbox are stored."""
        return await self._own.count(_of(mailbox))


def _followed(links: Document) -> Document:
    gone = {"follow_due", "follow_failures", "unlinked"}.difference(links)
    change: Document = {"$unset": dict.fromkeys(sorted(gone), "")}
    return {"$set": links, **change} if links else change


def _row(id: Any, account_id: Any) -> Document:
    return {"_id": id, "account_id": {"$eq": account_id}}


def _of(mailbox: Mapping[str, Any]) -> Document:
    account_id = mailbox["account_id"]
    own = either(account_id) if isinstance(account_id, ObjectId) else {"$eq": account_id}
    return {"account_id": own, "email_account_id": mailbox["_id"]}
