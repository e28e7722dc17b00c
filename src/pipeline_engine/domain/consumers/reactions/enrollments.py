"""Ends the sequences of contacts that replied, whose address bounced, or who unsubscribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.repos.consumer_repos import ConsumerRepos

STATUSES = {
    "email.replied": "replied",
    "email.bounced": "bounced",
    "email.unsubscribed": "unsubscribed",
    "contact.unsubscribed": "unsubscribed",
}
"""By type of event, the status in which it ends an enrolment."""
TYPES = frozenset(STATUSES)


async def end_sequences(
    app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]
) -> Mapping[Any, Exception]:
    """End each contact's enrolments in sequences that were begun before the event. An automatic reply and a temporary
    bounce end nothing."""
    for type, status in STATUSES.items():
        of_type = sorted(
            (one for one in events if one.type == type and not is_weak(one)), key=attrgetter("occurred_at")
        )
        if latest := {event.contact: event.occurred_at for event in of_type if event.contact}:
            await app.repos.contact_records.end_sequences(account_id, latest, status, type)
    return {}


def is_weak(event: Event) -> bool:
    """Whether the event says less than its type: an out-of-office reply, or a bounce that may pass."""
    extra = event.data.model_extra or {}
    return extra.get("auto") is True or extra.get("bounce_type") == "soft"
