"""Ends the sequences of contacts that replied, whose address bounced, or who unsubscribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.ids import object_id
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


async def cancel(app: App[ConsumerRepos], wish: OptOut) -> int:
    """End the sequences of the contacts with an e-mail address at once, before the event is consumed. Returns how many
    contacts there were."""
    if wish.channel != "email":
        return 0
    contacts = await app.shared.people.contacts(wish.account_id, wish.channel, wish.spellings)
    now = app.clock.now()
    moments = {id: now for one in contacts if (id := object_id(one["_id"]))}
    if moments:
        type = "email.unsubscribed"
        await app.repos.contact_records.end_sequences(wish.account_id, moments, STATUSES[type], type)
    return len(moments)


def is_weak(event: Event) -> bool:
    """Whether the event says less than its type: an out-of-office reply, or a bounce that may pass."""
    extra = event.data.model_extra or {}
    return extra.get("auto") is True or extra.get("bounce_type") == "soft"
