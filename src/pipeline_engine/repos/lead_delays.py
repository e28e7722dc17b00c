"""How late actions of leads began: counts by account, type and hour, which outlive the actions' own rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, index
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=30)
LEAD_DELAYS = CollectionSpec("lead_delays", indexes=(EXPIRY_INDEX, index("hour", "account_id")))


class LeadDelays:
    """`bins` has the number of actions by the upper edge of their bin in milliseconds, as text."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(LEAD_DELAYS)
        self._clock = store.clock

    async def add(
        self, account_id: ObjectId, bins: Mapping[str, Mapping[str, int]], longest: Mapping[str, float]
    ) -> None:
        """Add {type: {edge: count}} of the account to what was counted in this hour; `longest` is in seconds."""
        hour = _hour_of(self._clock.now())
        writes = [
            UpdateOne(
                {"_id": f"{account_id}:{type}:{hour:%Y%m%d%H}", "account_id": account_id},
                {
                    "$inc": {f"bins.{edge}": count for edge, count in counts.items()},
                    "$max": {"longest": longest[type]},
                    "$setOnInsert": {"type": type, "hour": hour, "expires_at": hour + RETENTION},
                },
                upsert=True,
            )
            for type, counts in bins.items()
        ]
        try:
            await self._own.bulk(writes)
        except BulkWriteError as failure:
            errors = failure.details["writeErrors"]
            if failure.details.get("writeConcernErrors") or any(error["code"] != DUPLICATE_KEY for error in errors):
                raise
            # Another job of the account was the first in this hour: now its document is there.
            await self._own.bulk([writes[error["index"]] for error in errors])

    async def since(self, moment: datetime, account_id: ObjectId | None) -> list[Document]:
        """{account_id, type, edge, count, longest} of the hours from the one of `moment` on, of one or all accounts."""
        query = {"hour": {"$gte": _hour_of(moment)}, **({"account_id": either(account_id)} if account_id else {})}
        by = {"account_id": "$account_id", "type": "$type", "edge": "$bins.k"}
        sums = {"count": {"$sum": "$bins.v"}, "longest": {"$max": "$longest"}}
        stages: tuple[dict[str, Any], ...] = (
            {"$set": {"bins": {"$objectToArray": "$bins"}}},
            {"$unwind": "$bins"},
            {"$group": {"_id": by, **sums}},
        )
        found = await self._own.everywhere.aggregate(query, *stages)
        return [{**one["_id"], "count": one["count"], "longest": one["longest"]} for one in found]


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
