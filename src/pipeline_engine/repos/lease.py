"""Leases as filters and updates: the holder of a document, the end by the server's clock, and the fencing token.

A document is free when it has no `lease_until` or one that has passed. Every later write of a run has the token in its
filter, so that a holder whose lease another run took over changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LeaseSpec
from pipeline_engine.repos.expressions import ahead, whole

FREE: Document = {"$or": [{"lease_until": None}, {"$expr": {"$not": [ahead("$lease_until")]}}]}

TOMORROW: Document = {"$dateAdd": {"startDate": "$$NOW", "unit": "day", "amount": 1}}
"""A change that claims to be of a later time is none: the flag would count for ever."""

# An expression: whether the last holder's lease ran out, because its process died or lost its connection to MongoDB.
LEASE_EXPIRED: Document = {"$and": [{"$eq": [{"$type": "$lease_until"}, "date"]}, {"$lte": ["$lease_until", "$$NOW"]}]}

RELEASED: Document = {"lease_until": None, "lease_owner": None}


def unclaimed(spec: LeaseSpec) -> Document:
    """A filter: the document is free, and no engine without leases has set its flag recently enough to count."""
    if spec.flag is None:
        return FREE
    seconds = int(spec.legacy_flag_counts.total_seconds())
    edge = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": seconds}}
    seen = {"$ifNull": ["$updatedAt", "$flag_seen_at", "$$NOW"]}
    is_recent = {"$and": [{"$gt": [seen, edge]}, {"$lt": [seen, TOMORROW]}]}
    legacy_flag = {"$and": [{spec.flag: True, "lease_until": None}, {"$expr": is_recent}]}
    return {"$and": [FREE, {"$nor": [legacy_flag]}]}


def released(spec: LeaseSpec) -> Document:
    """The fields that release a document."""
    return {**RELEASED, spec.flag: False} if spec.flag else RELEASED


@dataclass(frozen=True)
class Lease:
    """The name under which this process claims, and how many seconds a claim lasts without a heartbeat."""

    owner: str
    seconds: float

    @property
    def end(self) -> Document:
        """The end of a lease that starts now, as an expression on the server's clock."""
        return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(self.seconds * 1000)}}

    def claim(self, **changes: Any) -> list[Document]:
        """The update that claims a free document; `changes` are expressions over the document as it was."""
        token = {"$add": [whole("$token"), 1]}
        lease = {"lease_owner": self.owner, "lease_until": self.end, "token": token, "updatedAt": "$$NOW"}
        return [{"$set": {**lease, **changes}}]

    def renewal(self) -> list[Document]:
        """The update that renews a lease."""
        return [{"$set": {"lease_until": self.end}}]
