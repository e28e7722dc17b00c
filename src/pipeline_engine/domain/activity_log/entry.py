"""An entry of the activity log, made from an event of any shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import derived_id

Document = Mapping[str, Any]
NO_ACTOR = "system"
"""The actor of an event that names no user."""
ID_FIELDS = {
    "contact": ("contact_id", "contactId"),
    "deal": ("deal_id", "dealId"),
    "lead": ("lead_id", "leadId"),
    "form": ("form_id", "formId"),
    "import": ("queue_id",),
    "clone": ("funnel_id",),
}
"""By noun of an event's type, the fields of its data that name the subject."""
MAX_TEXT_CHARS = 200


def entry_of(account_id: ObjectId, event: Document, now: datetime, kept: timedelta) -> dict[str, Any]:
    """Who (`actor`) did what (`verb`) to what (`subject`), when. The entry's id follows from the event's."""
    type = str(event.get("type"))[:MAX_TEXT_CHARS]
    noun, _, verb = type.partition(".")
    at = usable_date(event.get("occurred_at")) or now
    return {
        "_id": derived_id("activity_log", account_id, event["_id"]),
        "account_id": account_id,
        "event_id": event["_id"],
        "type": type,
        "actor": _text(event.get("user_id")) or NO_ACTOR,
        "verb": verb or type,
        "subject": {"type": noun, "id": _subject(noun, event.get("data"))},
        "at": at,
        "expires_at": now + kept,
    }


def _subject(noun: str, data: object) -> str | None:
    """The record of the type's own noun, else the first record that the data names."""
    if not isinstance(data, Mapping):
        return None
    fields = [*ID_FIELDS.get(noun, ()), *(name for names in ID_FIELDS.values() for name in names)]
    return next((text for name in fields if (text := _text(data.get(name)))), None)


def _text(value: object) -> str | None:
    return str(value)[:MAX_TEXT_CHARS] if isinstance(value, str | ObjectId | int) and value else None
