"""Event lines: one small leased document per account, so that one run at a time consumes the account's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, number, text

EVENT_LINES = CollectionSpec(
    "event_lines",
    indexes=(LEASE_OWNER_INDEX,),
    lease=LeaseSpec(),
    own={"lease_until": date, "token": number, "crashes": number, "lease_owner": text},
)


class EventLines(Leased):
    """The `_id` is the account's id. `crashes` counts the runs in a row that ended in the middle of a batch."""

    spec = EVENT_LINES

    async def open(self, account_id: ObjectId) -> None:
        """Make the account's line if there is none."""
        await self._own.insert_missing([{"_id": account_id, "account_id": account_id}])

    async def claim(self, id: ObjectId) -> Document | None:
        """As `Leased.claim`; an account's first claim makes its line."""
        return await super().claim(id) or (await self._first_claim(id))

    async def _first_claim(self, id: ObjectId) -> Document | None:
        if await self.get(id):
            return None
        await self.open(id)
        return await super().claim(id)

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Always the first: events count attempts, not lines."""
        return 1

    async def is_held_by(self, id: ObjectId, owner: str) -> bool:
        """Whether this process holds the line."""
        line = await self.get(id)
        return line is not None and line.get("lease_owner") == owner
