"""What stands in `data`, one model per type of event: the fields that the engine reads. Pure.

Unknown fields are kept, and types that stand here nowhere are the tenant's own: their data may be any object. A field
that is added later is optional; a change that old readers would misread gets a new `version` of the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from bson import ObjectId
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

from pipeline_engine.errors import Permanent

CURRENT_VERSION = 1
MALFORMED = "payload"
"""The error code of an event whose data is not what its type says."""


def _id(value: object) -> str:
    if isinstance(value, ObjectId) or (isinstance(value, str) and value):
        return str(value)
    raise ValueError("must be an id")


Id = Annotated[str, BeforeValidator(_id)]


def _named(name: str, seed_name: str, **options: Any) -> Any:
    """A field that the seed's publishers spell in another way."""
    return Field(validation_alias=AliasChoices(name, seed_name), **options)


class EventData(BaseModel):
    """The records that an event of any type may name."""

    model_config = ConfigDict(extra="allow")

    contact_id: Id | None = _named("contact_id", "contactId", default=None)
    deal_id: Id | None = _named("deal_id", "dealId", default=None)
    lead_id: Id | None = _named("lead_id", "leadId", default=None)


class ContactChanged(EventData):
    contact_id: Id = _named("contact_id", "contactId")
    source: str | None = None


class DealChanged(EventData):
    deal_id: Id = _named("deal_id", "dealId")


class DealsMoved(EventData):
    """One deal, or all deals of a batch that were moved together."""

    deals: Annotated[list[Id], FailFast()] = []  # of very many wrong ids the first one is named


class EmailEvent(EventData):
    message_id: str | None = _named("message_id", "messageId", default=None)


class FormSubmitted(EventData):
    form_id: Id | None = _named("form_id", "formId", default=None)


class LevelCrossed(EventData):
    contact_id: Id = _named("contact_id", "contactId")
    level: str


class LifecycleChanged(EventData):
    contact_id: Id = _named("contact_id", "contactId")


class ImportCompleted(EventData):
    queue_id: Id


class CloneCompleted(EventData):
    funnel_id: Id


PAYLOADS: Mapping[str, type[EventData]] = {
    "contact.created": ContactChanged,
    "contact.updated": ContactChanged,
    "deal.created": DealChanged,
    "deal.stage_changed": DealsMoved,
    "deal.won": DealChanged,
    "deal.lost": DealChanged,
    "email.received": EmailEvent,
    "email.replied": EmailEvent,
    "email.forwarded": EmailEvent,
    "email.bounced": EmailEvent,
    "email.unsubscribed": EmailEvent,
    "sms.unsubscribed": EmailEvent,
    "form.submitted": FormSubmitted,
    "intent.crossed": LevelCrossed,
    "lifecycle.changed": LifecycleChanged,
    "import.completed": ImportCompleted,
    "clone.completed": CloneCompleted,
}


def read_payload(type: str, data: object, version: object = CURRENT_VERSION) -> EventData:
    """The data of an event, checked. Raises: Permanent MALFORMED naming the fields, never their values."""
    if not isinstance(data, Mapping):
        raise Permanent(f"data of {type} is no object", MALFORMED)
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise Permanent(f"version of {type} is no number of at least 1", MALFORMED)
    try:
        return PAYLOADS.get(type, EventData).model_validate(dict(data))
    except ValidationError as error:
        wrong = "; ".join(f"data.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Permanent(f"{type}: {wrong}", MALFORMED) from None
