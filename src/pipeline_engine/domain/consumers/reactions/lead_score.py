"""Lead score and grade of the contacts that were created or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.consumer_repos import ConsumerRepos

TYPES = frozenset({"contact.created", "contact.updated"})


async def score(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Score each contact by what stands in it now."""
    contacts = {event.id: event.contact for event in events if event.contact}
    refused = await app.repos.contacts.rescore(account_id, [*contacts.values()])
    return {
        id: Permanent(f"the contact cannot be changed: {refused[contact]}")
        for id, contact in contacts.items()
        if contact in refused
    }
