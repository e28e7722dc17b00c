"""Webhooks: the endpoints of tenants. The CRM writes what they want; the engine claims one for as long as it delivers
to it, and keeps its health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    index,
    longer_ago,
)
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, flag, number, text
from pipeline_engine.repos.too_large import sized

HOUR_SECONDS = 3600
HEALTHY: Document = {"failures": 0, "failing_since": None, "rest_until": None}

WEBHOOKS = CollectionSpec(
    "webhooks",
    indexes=(
        index("account_id", "active"),
        index("holds", partialFilterExpression={"holds": True}),
        LEASE_OWNER_INDEX,
    ),
    lease=LeaseSpec(),
    wakes=became("active", True),
    stuck=(
        StuckQuestion(
            "webhooks held for over an hour",
            {"lease_owner": {"$gt": ""}, **longer_ago("$claimed_at", HOUR_SECONDS)},
        ),
    ),
    own={
        **dict.fromkeys(("lease_until", "claimed_at", "failing_since", "rest_until"), date),
        **dict.fromkeys(("token", "crashes", "failures"), number),
        **dict.fromkeys(("lease_owner", "disabled_reason"), text),
        "holds": flag,
    },
)


class Webhooks(Leased):
    """Only one run at a time delivers to an endpoint."""

    spec = WEBHOOKS

    def claim_changes(self) -> Document:
        return {"claimed_at": "$$NOW"}

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """Always the first: deliveries count attempts, not their endpoint."""
        return 1

    async def active_of(self, account_id: ObjectId) -> list[Document]:
        """The account's endpoints that are switched on, the oldest first."""
        query = {"account_id": either(account_id), "active": {"$ne": False}, **await self.available()}
        return await self._own.find(query, sort=[("_id", 1)])

    async def enabled_again(self) -> list[Document]:
        """`{_id, account_id}` of endpoints that were disabled, are not any more, and of which deliveries are held."""
        query = {"holds": {"$eq": True, "$not": {"$type": "array"}}, "active": {"$ne": False}, **await self.available()}
        return await self._all.find(query, projection=["account_id"])

    async def abandoned(self) -> list[Document]:
        """`{_id, account_id}` of the endpoints whose holder has died."""
        query = {"lease_owner": {"$gt": ""}, **self.unclaimed, **await self.available()}
        return await self._all.find(query, projection=["account_id"])

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        """Endpoints of one account, or of all, the newest first."""
        query = {"account_id": either(account_id)} if account_id else {}
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def disable(self, webhook: Mapping[str, Any], reason: str) -> bool:
        """Switch the endpoint off, whichever run holds it; the caller holds its deliveries then. Returns False when it
        was switched off, or changed its URL, meanwhile. Raises: TooLarge."""
        query = {**_identity(webhook), "active": {"$eq": webhook.get("active")}, "url": {"$eq": webhook.get("url")}}
        change = {"active": False, "disabled_reason": reason, "holds": True}
        with sized(WEBHOOKS.name, webhook["_id"]):
            return await self._own.update_one(query, {"$set": change, "$currentDate": {"updatedAt": True}}) == 1

    async def enable(self, webhook: Mapping[str, Any]) -> None:
        """Switch the endpoint on, with a clean record."""
        change = {"$set": {"active": True, "holds": True, **HEALTHY}, "$unset": {"disabled_reason": ""}}
        await self._own.update_one(_identity(webhook), {**change, "$currentDate": {"updatedAt": True}})

    async def begin_anew(self, held: Mapping[str, Any]) -> Document | None:
        """Give the endpoint, which was enabled again, a clean record, under this run's claim; None when another run has
        it now. One that was disabled once more meanwhile goes on to hold its deliveries."""
        is_off = {"$eq": ["$active", False]}
        reason = {"$cond": [is_off, "$disabled_reason", "$$REMOVE"]}
        return await self.change(held, HEALTHY, holds=is_off, disabled_reason=reason)

    async def rotate(self, webhook: Mapping[str, Any], secret: str, previous_until: Any) -> bool:
        """Give the endpoint a new secret; the one before signs as well until then. False: its secret was changed
        meanwhile."""
        old = webhook.get("secret")
        change = {"secret": secret, "previous_secret": old, "previous_until": previous_until}
        query = {**_identity(webhook), "secret": {"$eq": old}}
        return await self._own.update_one(query, {"$set": change, "$currentDate": {"updatedAt": True}}) == 1


def _identity(webhook: Mapping[str, Any]) -> Document:
    return {"_id": webhook["_id"], "account_id": {"$eq": webhook.get("account_id")}}
