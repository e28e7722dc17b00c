"""Business profiles: how an account wants its contacts treated, and whose turn is next to get one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.own_fields import listing
from pipeline_engine.repos.store import Store

BUSINESS_PROFILES = CollectionSpec(
    "business_profiles", indexes=(index("account_id"),), own={"round_robin_allotted": listing}
)
TEAM_MEMBERS = CollectionSpec("team_members", indexes=(index("account_id"),))


class BusinessProfiles:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(BUSINESS_PROFILES)

    async def get(self, account_id: ObjectId) -> Document:
        """The account's profile; an empty one where the CRM keeps none."""
        return await self._own.find_one({"account_id": either(account_id)}, sort=[("_id", 1)]) or {}

    async def get_or_make(self, account_id: ObjectId) -> Document:
        """As `get`; makes one where there is none, under an id of its own, so that it is made once."""
        if profile := await self.get(account_id):
            return profile
        id = derived_id("business_profile", account_id)
        await self._own.insert_missing([{"_id": id, "account_id": account_id}])
        return await self.get(account_id)

    async def allot(self, profile: Mapping[str, Any], pairs: Sequence[Document], last: Any) -> bool:
        """Store who gets which contact, together with whose turn was last; False when another run did so since."""
        before = {name: {"$eq": profile.get(name)} for name in ("account_id", "round_robin_last")}
        query = {"_id": profile["_id"], **before, "round_robin_allotted": {"$in": [None, []]}}
        change = {"round_robin_last": last, "round_robin_allotted": list(pairs)}
        return await self._own.update_one(query, {"$set": change}) == 1

    async def end_allotment(self, profile: Mapping[str, Any], pairs: Sequence[Document]) -> None:
        """Forget the pairs: every one of these contacts has its owner."""
        query = {"_id": profile["_id"], "account_id": {"$eq": profile.get("account_id")}}
        await self._own.update_one(
            {**query, "round_robin_allotted": {"$eq": list(pairs)}}, {"$unset": {"round_robin_allotted": ""}}
        )
