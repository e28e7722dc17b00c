"""Ends the sequences of contacts that replied, whose address bounced, or who unsubscribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """End each contact's enrolments in sequences. An automatic reply and a temporary bounce end nothing."""
    for type, status in STATUSES.items():
        contacts = [event.contact for event in events if event.type == type and event.contact and not is_weak(event)]
        if contacts:
            await app.repos.contact_records.end_sequences(account_id, contacts, status, type)
    return {}


def is_weak(event: Event) -> bool:
    """Whether the event says less than its type: an out-of-office reply, or a bounce that may pass."""
    extra = event.data.model_extra or {}
    return extra.get("auto") is True or extra.get("bounce_type") == "soft"
