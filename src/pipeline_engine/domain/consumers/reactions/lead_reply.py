"""Replies of leads: written where lead pipelines look for them, so that they end waits and runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.consumer_repos import ConsumerRepos

TYPES = frozenset({"email.replied"})


async def respond(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Insert a response for each event that names a lead."""
    responses = [_response(account_id, event, lead) for event in events if (lead := object_id(event.data.lead_id))]
    if responses:
        await app.repos.contact_records.add_responses(responses)
    return {}


def _response(account_id: ObjectId, event: Event, lead: ObjectId) -> Document:
    own = {"_id": derived_id("lead_response", account_id, event.id), "account_id": account_id, "lead_id": lead}
    message = getattr(event.data, "message_id", None)
    is_auto = (event.data.model_extra or {}).get("auto") is True
    more = {**({"message_id": message} if message else {}), **({"auto": True} if is_auto else {})}
    return {**own, "channel": "email", "received_at": event.occurred_at, "event_id": event.id, **more}
