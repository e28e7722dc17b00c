"""The accounts for which scheduled jobs run, with the names of their time zones."""

from __future__ import annotations

import asyncio
from time import monotonic

from bson import ObjectId

from pipeline_engine.ids import object_id
from pipeline_engine.repos.accounts import ACCOUNTS
from pipeline_engine.repos.business_profiles import BUSINESS_PROFILES
from pipeline_engine.repos.store import Store

FRESH_SECONDS = 5.0
"""How long the answer is used again: all jobs of a tick ask at the same time."""


class JobAccounts:
    def __init__(self, store: Store) -> None:
        self._accounts = store.collection(ACCOUNTS).everywhere
        self._profiles = store.collection(BUSINESS_PROFILES).everywhere
        self._lock = asyncio.Lock()
        self._known: dict[ObjectId, object] = {}
        self._until = 0.0

    async def zones(self, fresh: bool = False) -> dict[ObjectId, object]:
        """{active account: what its profile, or else its own document, gives as the name of its time zone}. At most
        FRESH_SECONDS old unless `fresh`."""
        async with self._lock:
            if fresh or monotonic() >= self._until:
                self._known, self._until = await self._read(), monotonic() + FRESH_SECONDS
            return dict(self._known)

    async def _read(self) -> dict[ObjectId, object]:
        accounts = await self._accounts.find({"active": {"$ne": False}}, projection=["timezone"])
        named = await self._profiles.find({"timezone": {"$gt": ""}}, projection=["account_id", "timezone"])
        zones = {object_id(one.get("account_id")): one["timezone"] for one in named}
        return {id: zones.get(id) or one.get("timezone") for one in accounts if (id := object_id(one["_id"]))}
