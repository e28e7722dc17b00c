"""Leases as filters and updates: who holds a document, until when by the server's clock, under which fencing token.

A document is free when it has no `lease_until` or one that has passed. Every later write of a run carries the token in
its filter, so a holder whose lease ran out changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LeaseSpec

FREE: Document = {"$or": [{"lease_until": None}, {"$expr": {"$lt": ["$lease_until", "$$NOW"]}}]}

# In a pipeline update: whether the last holder's lease ran out, so that its process died or lost MongoDB.
LEASE_EXPIRED: Document = {
    "$and": [{"$ne": [{"$ifNull": ["$lease_until", None]}, None]}, {"$lt": ["$lease_until", "$$NOW"]}]
}

RELEASED: Document = {"lease_until": None, "lease_owner": None}


def unclaimed(spec: LeaseSpec) -> Document:
    """A filter: the document is free, and an engine without leases has not flagged it recently enough to count."""
    if spec.flag is None:
        return FREE
    seconds = int(spec.legacy_flag_counts.total_seconds())
    edge = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": seconds}}
    seen = {"$ifNull": ["$updatedAt", "$flag_seen_at", "$$NOW"]}
    legacy_flag = {"$and": [{spec.flag: True, "lease_until": None}, {"$expr": {"$gt": [seen, edge]}}]}
    return {"$and": [FREE, {"$nor": [legacy_flag]}]}


def released(spec: LeaseSpec) -> Document:
    """The fields of a document that no run holds."""
    return {**RELEASED, spec.flag: False} if spec.flag else RELEASED


@dataclass(frozen=True)
class Lease:
    """Who claims, and for how many seconds without a heartbeat."""

    owner: str
    seconds: float

    @property
    def end(self) -> Document:
        """The end of a lease that starts now, as an expression on the server's clock."""
        return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": round(self.seconds * 1000)}}

    def claim(self, **changes: Any) -> list[Document]:
        """The update that claims a free document; `changes` are expressions over the document as it was."""
        token = {"$add": [{"$ifNull": ["$token", 0]}, 1]}
        lease = {"lease_owner": self.owner, "lease_until": self.end, "token": token, "updatedAt": "$$NOW"}
        return [{"$set": {**lease, **changes}}]

    def renewal(self) -> list[Document]:
        return [{"$set": {"lease_until": self.end}}]
