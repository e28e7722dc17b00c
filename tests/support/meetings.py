"""A CRM's calendar and the people in it, for tests of meeting prep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from tests.support.job_slices import Document, activity, all_of
from tests.support.world import World

NOW = datetime(2026, 3, 2, 9, 40, tzinfo=UTC)
"""The time at which these tests begin, by the engine's clock."""


def event(world: World, minutes: float = 30, *attendees: object, now: datetime = NOW, **fields: Any) -> ObjectId:
    """A meeting of half an hour that begins in so many minutes."""
    starts = now + timedelta(minutes=minutes)
    own = {"account_id": world.account, "owner": world.user, "title": "Talk", "attendees": list(attendees)}
    own |= {"starts_at": starts, "ends_at": starts + timedelta(minutes=30), **fields}
    return ObjectId(world.db["calendar_events"].insert_one(own).inserted_id)


def john(world: World, now: datetime = NOW, **fields: Any) -> ObjectId:
    """A contact with a deal, a call and a note."""
    id = ObjectId()
    own = {"name": "John Doe", "company": "Acme Corp", "title": "CFO", "email": "John@acme.example", **fields}
    world.db["contacts"].insert_one({"_id": id, "account_id": world.account, **own})
    stage = world.db["pipeline_stages"].insert_one({"account_id": world.account, "name": "Proposal"}).inserted_id
    deal = world.deal(contact_id=id, name="Renewal", value=50000, status="open", stage_id=stage)
    activity(world, "call", now - timedelta(days=14), contact_id=id)
    text = "They need a faster import. Currently using HubSpot."
    own = {"account_id": world.account, "deal_id": deal, "text": text, "createdAt": now - timedelta(days=3)}
    world.db["notes"].insert_one(own)
    return id


def brief_of(world: World, event_id: ObjectId) -> Document:
    (meeting,) = all_of(world, "meetings", calendar_event_id=event_id)
    return dict(meeting["brief"])
