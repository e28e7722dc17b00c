"""Claims: one atomic update with an owner, an end on the server's clock and a fencing token that only grows.

A document is free when it has no `lease_until` or one that has passed. Every later write of a run carries the token
in its filter, so a holder that was too slow changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline_engine.repos.client import Document

FREE: Document = {"$or": [{"lease_until": None}, {"$expr": {"$lt": ["$lease_until", "$$NOW"]}}]}

# In a pipeline update: whether the last holder vanished (its lease ran out) instead of giving the document back.
HELD: Document = {"$ne": [{"$ifNull": ["$lease_until", None]}, None]}
LEASE_EXPIRED: Document = {"$and": [HELD, {"$lt": ["$lease_until", "$$NOW"]}]}

RELEASED: Document = {"lease_until": None, "lease_owner": None}

LEGACY_FLAG_COUNTS = timedelta(minutes=10)
"""So long a flag that an engine without leases has set counts after the document's last change."""


def legacy_flag(flag: str, counts: timedelta = LEGACY_FLAG_COUNTS) -> Document:
    """A flag set without a lease is an older engine's; so long without a sign of life it counts for nothing."""
    edge = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": int(counts.total_seconds())}}
    seen = {"$ifNull": ["$updatedAt", "$flag_seen_at", "$$NOW"]}
    return {"$and": [{flag: True, "lease_until": None}, {"$expr": {"$gt": [seen, edge]}}]}


def unclaimed(flag: str, counts: timedelta = LEGACY_FLAG_COUNTS) -> Document:
    """Free, and not flagged by an engine that has no leases."""
    return {"$and": [FREE, {"$nor": [legacy_flag(flag, counts)]}]}


@dataclass(frozen=True)
class Lease:
    """Who claims, and for how long without a heartbeat."""

    owner: str
    seconds: float

    @property
    def end(self) -> Document:
        """The end of a lease that starts now, as an expression on the server's clock."""
        return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(self.seconds * 1000)}}

    def claim(self, **changes: Any) -> list[Document]:
        """The update that takes a free document; `changes` are expressions over the document as it was."""
        token = {"$add": [{"$ifNull": ["$token", 0]}, 1]}
        lease = {"lease_owner": self.owner, "lease_until": self.end, "token": token, "updatedAt": "$$NOW"}
        return [{"$set": {**lease, **changes}}]

    def renewal(self) -> list[Document]:
        return [{"$set": {"lease_until": self.end}}]
