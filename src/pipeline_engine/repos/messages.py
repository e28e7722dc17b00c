"""What an account writes in its messages (templates) and to which addresses it must not write (suppressions)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collation import Collation, CollationAlternate

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import INSERTED
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EVENTS_DUE_INDEX, CollectionSpec, having, index
from pipeline_engine.repos.deals import WITHOUT_CASE
from pipeline_engine.repos.store import Store

Channel = Literal["email", "sms"]

AS_NUMBERS = Collation("en", strength=2, alternate=CollationAlternate.SHIFTED)
"""Compares telephone numbers whatever blanks, brackets and dashes they are written with."""

SUPPRESSIONS = CollectionSpec(
    "suppressions",
    indexes=(
        # People write addresses in any case, and one query asks for addresses and hashes: both go without case.
        index("account_id", "channel", "address", collation=WITHOUT_CASE),
        index("account_id", "address", "channel", collation=AS_NUMBERS),
        index("account_id", "channel", "address_hash", collation=WITHOUT_CASE, **having("address_hash")),
        EVENTS_DUE_INDEX,
    ),
    has_events_due=True,
    wakes=(INSERTED,),
)


class Templates:
    """The templates that an account wrote for its e-mails and SMS. The engine only reads them."""

    def __init__(self, store: Store) -> None:
        self._email = store.collection("email_templates")
        self._sms = store.collection("sms_templates")

    async def email(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{subject, html, text}, or None when this account has no such template."""
        return await self._email.find_one({"_id": either(template_id), "account_id": either(account_id)})

    async def sms(self, account_id: ObjectId, template_id: ObjectId) -> Document | None:
        """{body}, or None when this account has no such template."""
        return await self._sms.find_one({"_id": either(template_id), "account_id": either(account_id)})


class Suppressions:
    """Addresses and telephone numbers that must receive nothing more from an account. What the engine writes also has
    a keyed hash of the address, by which it holds when the address itself was deleted."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(SUPPRESSIONS)
        self._clock = store.clock

    async def suppressed(
        self, account_id: ObjectId, channel: Channel, addresses: Iterable[str], hashes: Iterable[str] = ()
    ) -> set[str]:
        """Those of the addresses and hashes that are suppressed for the channel or for all channels, in lower case,
        whatever the case in which they are given or stored; numbers with any separators, as they are stored."""
        spellings = sorted({address.lower() for address in addresses})
        if not spellings:
            return set()
        mine: Document = {"account_id": either(account_id), "channel": {"$in": [channel, "all"]}}
        by_address = {**mine, "address": {"$in": spellings}}
        # The account stands in each part, so that each part is answered by an index of its own.
        either_way: Document = {"$or": [by_address, {**mine, "address_hash": {"$in": sorted(hashes)}}]}
        queries = [(either_way, WITHOUT_CASE), *([(by_address, AS_NUMBERS)] if channel == "sms" else ())]
        fields = ["address", "address_hash"]
        found = await asyncio.gather(
            *(self._own.everywhere.find(query, projection=fields, collation=one) for query, one in queries)
        )
        names = [one.get(name) for some in found for one in some for name in fields]
        return {name.lower() for name in names if isinstance(name, str)}

    async def add(
        self, account_id: ObjectId, channel: Channel, address: str, hash: str, reason: str, events: Sequence[Document]
    ) -> Document:
        """Suppress the address; returns the suppression. One that is suppressed already stays as it is, and gets its
        hash. `events` are due with a new one, and only then."""
        mine = {"account_id": either(account_id), "channel": {"$in": [channel, "all"]}}
        now = self._clock.now()
        new = {"account_id": account_id, "channel": channel, "address": address, "reason": reason, "createdAt": now}
        update = {"$set": {"address_hash": hash}, "$setOnInsert": {**new, "updatedAt": now, "events_due": list(events)}}
        query = {"$or": [{**mine, "address": address}, {**mine, "address_hash": hash}]}
        suppression = await self._own.everywhere.find_one_and_update(query, update, upsert=True, collation=WITHOUT_CASE)
        return suppression or {}

    async def lift(self, account_id: ObjectId, channel: Channel, hash: str, reason: str) -> int:
        """Remove the suppressions of the address that were written for this reason. Returns how many there were."""
        query = {"account_id": either(account_id), "channel": channel, "address_hash": hash, "reason": reason}
        found = await self._own.find(query, projection=["_id"], collation=WITHOUT_CASE)
        if found:
            await self._own.delete({**query, "_id": {"$in": [one["_id"] for one in found]}})
        return len(found)

    async def set_hashes(self, hashes: Sequence[tuple[Mapping[str, Any], str]]) -> None:
        """Store the hashes of suppressions that have none: pairs of a suppression and its hash."""
        writes = [
            UpdateOne(
                {"_id": one["_id"], "account_id": {"$eq": one.get("account_id")}, "address_hash": None},
                {"$set": {"address_hash": hash}},
            )
            for one, hash in hashes
        ]
        if writes:
            await self._own.bulk(writes)
