"""What one collection needs from the engine, declared once, beside its queries.

Indexes, heartbeat, change stream, stuck-work check and event relay are loops over these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from pymongo import ASCENDING, IndexModel

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.own_fields import OwnFields

LEGACY_FLAG_COUNTS = timedelta(minutes=10)
"""How long a flag without a lease, set by an older engine, counts after the last change of its document."""


@dataclass(frozen=True)
class LeaseSpec:
    """The documents are claimed under leases.

    `flag`, where the CRM has one, mirrors the lease for it and for older engines.
    """

    flag: str | None = None
    legacy_flag_counts: timedelta = LEGACY_FLAG_COUNTS


@dataclass(frozen=True)
class StuckQuestion:
    """`query` finds documents that an operator should look at; `problem` says what is wrong with them."""

    problem: str
    query: Document


@dataclass(frozen=True)
class PlaceSpec:
    """Where a change makes work due, so that a sweep looks only there. All but `field` are expressions over the change.

    `place` is the value of `field` (a stage); `due_at` the time from which the work is due, where that lies within a
    minute of the change; `is_late` holds when the document claims to have become due long before the change.
    """

    field: str
    place: Document
    due_at: Document
    is_late: Document


@dataclass(frozen=True, eq=False)
class CollectionSpec:
    """Name and needs of one collection. Unique and TTL indexes on what the CRM also writes must be partial."""

    name: str
    indexes: tuple[IndexModel, ...] = ()
    lease: LeaseSpec | None = None
    wakes: tuple[Document, ...] = ()
    """Change-stream filters, any of which makes work due."""
    place: PlaceSpec | None = None
    stuck: tuple[StuckQuestion, ...] = ()
    has_events_due: bool = False
    """Its documents carry `events_due`, which the relay publishes."""
    own: OwnFields = field(default_factory=dict)
    """Fields that only the engine writes; a value of another type counts as absent."""


def index(*fields: str, **options: object) -> IndexModel:
    """An ascending index over the fields."""
    return IndexModel([(field, ASCENDING) for field in fields], **options)


def having(field: str) -> dict[str, object]:
    """Options that restrict an index to documents with the field."""
    return {"partialFilterExpression": {field: {"$exists": True}}}


def longer_ago(field: str, seconds: int) -> Document:
    """A filter: the date in `$field` is more than `seconds` ago by the server's clock.

    A missing date does not match.
    """
    edge = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": seconds}}
    return {"$expr": {"$and": [{"$eq": [{"$type": field}, "date"]}, {"$lt": [field, edge]}]}}


LEASE_OWNER_INDEX = index("lease_owner", **having("lease_owner"))
EVENTS_DUE_INDEX = index("events_due.event_id", **having("events_due"))
EVENTS_DUE: Document = {"events_due.event_id": {"$exists": True}}
EXPIRY_INDEX = index("expires_at", expireAfterSeconds=0)
