"""The timeline of contacts, deals and leads: a row of `activities` for each event that a person would look for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

TYPES = frozenset(
    {
        "contact.created",
        "deal.created",
        "deal.won",
        "deal.lost",
        "email.received",
        "email.replied",
        "email.forwarded",
        "email.bounced",
        "form.submitted",
        "intent.crossed",
        "lifecycle.changed",
    }
)
RECORDS = ("contact_id", "deal_id", "lead_id")


async def write(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Write a row for each event that names a contact, deal or lead."""
    rows = {event.id: _row(account_id, event) for event in events if _records(event)}
    refused = await app.repos.activities.insert([*rows.values()])
    ids = [*rows]
    return {ids[place]: Permanent(f"its row of the timeline: {reason}") for place, reason in refused.items()}


def _row(account_id: ObjectId, event: Event) -> Document:
    own = {"_id": derived_id("activity", account_id, event.id), "account_id": account_id, "event_id": event.id}
    what = {"type": event.type.replace(".", "_"), "occurred_at": event.occurred_at}
    return {**own, **_records(event), **what, "user_id": event.document.get("user_id"), "createdAt": event.occurred_at}


def _records(event: Event) -> Document:
    ids = {name: getattr(event.data, name) for name in RECORDS}
    return {name: object_id(id) or id for name, id in ids.items() if id}
