"""What stands in `data`, one model per type of event: the fields that the engine reads. Pure.

Unknown fields are kept, and types that stand here nowhere are the tenant's own: their data may be any object. A field
that is added later is optional; a change that old readers would misread gets a new `version` of the type.

An optional field that cannot be used counts as absent: no consumer misses a reply because of its message id. Only a
publisher, who can still mend it, has it refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from bson import ObjectId
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticUseDefault

from pipeline_engine.errors import Permanent

CURRENT_VERSION = 1
MALFORMED = "payload"
"""The error code of an event whose data is not what its type says."""


def _id(value: object) -> str:
    if isinstance(value, ObjectId) or (isinstance(value, str) and value):
        return str(value)
    raise ValueError("must be an id")


def _text(value: object) -> object:
    return str(value) if isinstance(value, ObjectId) else value


def _or_absent(value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """The value as `read` returns it. One that cannot be used gives the field's default or, when `strict`, an error."""
    try:
        return read(value)
    except ValidationError:
        if info.context:
            raise
        raise PydanticUseDefault from None


_OrAbsent = WrapValidator(_or_absent)
Id = Annotated[str, BeforeValidator(_id)]
OptionalId = Annotated[Id | None, _OrAbsent]
OptionalText = Annotated[str | None, BeforeValidator(_text), _OrAbsent]


def _named(name: str, seed_name: str, **options: Any) -> Any:
    """A field that the seed's publishers spell in another way."""
    return Field(validation_alias=AliasChoices(name, seed_name), **options)


class EventData(BaseModel):
    """The records that an event of any type may name."""

    model_config = ConfigDict(extra="allow")

    contact_id: OptionalId = _named("contact_id", "contactId", default=None)
    deal_id: OptionalId = _named("deal_id", "dealId", default=None)
    lead_id: OptionalId = _named("lead_id", "leadId", default=None)


class ContactChanged(EventData):
    contact_id: Id = _named("contact_id", "contactId")
    source: OptionalText = None


class DealChanged(EventData):
    deal_id: Id = _named("deal_id", "dealId")


class DealsMoved(EventData):
    """One deal, or all deals of a batch that were moved together."""

    deals: Annotated[list[Id], FailFast(), _OrAbsent] = []  # of very many wrong ids the first one is named


class EmailEvent(EventData):
    message_id: OptionalText = _named("message_id", "messageId", default=None)


class FormSubmitted(EventData):
    form_id: OptionalId = _named("form_id", "formId", default=None)


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


def read_payload(type: str, data: object, version: object = CURRENT_VERSION, *, strict: bool = False) -> EventData:
    """The data of an event, checked. `strict`, for publishers: optional fields that cannot be used are refused too.

    Raises: Permanent MALFORMED naming the fields, never their values.
    """
    if not isinstance(data, Mapping):
        raise Permanent(f"data of {type} is no object", MALFORMED)
    if version is not None and not _is_version(version):
        raise Permanent(f"version of {type} is no whole number of at least 1", MALFORMED)
    # What says nothing must not hide the same field in the other spelling.
    given = {name: one for name, one in data.items() if one is not None and (strict or not _is_empty_id(name, one))}
    try:
        return PAYLOADS.get(type, EventData).model_validate(given, context=strict)
    except ValidationError as error:
        wrong = "; ".join(f"data.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Permanent(f"{type}: {wrong}", MALFORMED) from None


def _is_version(value: object) -> bool:
    """Whether it is a whole number from 1; some clients of MongoDB store every number as a double."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 and value % 1 == 0


def _is_empty_id(name: str, value: object) -> bool:
    return value == "" and name.endswith(("_id", "Id"))
