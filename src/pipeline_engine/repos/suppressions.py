"""Addresses and numbers to which an account must not write any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

Channel = Literal["email", "sms"]

SUPPRESSIONS = CollectionSpec(
    "suppressions",
    indexes=(index("account_id", "address", "channel"),),
)


class Suppressions:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(SUPPRESSIONS)

    async def among(self, account_id: ObjectId, channel: Channel, addresses: Iterable[str]) -> set[str]:
        """Those of the addresses that are suppressed for the channel or altogether, in lower case.

        Suppressions are stored in lower case; one that was stored just as the address is given is found as well."""
        spellings = sorted({spelling for address in addresses for spelling in (address, address.lower())})
        query = {
            "account_id": either(account_id),
            "channel": {"$in": [channel, "all"]},
            "address": {"$in": spellings},
        }
        found = await self._own.find(query, projection=["address"]) if spellings else []
        return {one["address"].lower() for one in found}
