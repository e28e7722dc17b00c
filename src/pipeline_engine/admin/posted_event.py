"""The body of `POST /api/v1/events`: one event as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline_engine.admin.access import Refusal
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.events.payloads import CURRENT_VERSION
from pipeline_engine.domain.webhooks.payload import MAX_ID_CHARS
from pipeline_engine.ids import object_id
from pipeline_engine.json_object import json_object

JSON = "application/json"
MAX_NAMED = 5
"""Wrong fields that a refusal names."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not have control characters")
    return text


def _moment(value: object) -> datetime:
    try:
        found = usable_date(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("must be a time such as 2026-01-31T08:00:00Z, in the years 11 to 9989")
    exact = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)  # MongoDB holds milliseconds


Word = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS), AfterValidator(_printable)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class _NamedCause(BaseModel):
    """The event because of which one is posted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: Word
    depth: Any = None
    """Not used: with a depth of its own choice, a client could keep an endless chain going."""


class PostedEvent(BaseModel):
    """An event as a client writes it. Its account is that of the client's token."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Word
    data: dict[str, Any]
    id: Word | None = None
    version: int = Field(CURRENT_VERSION, ge=1)
    key: Word | None = None
    occurred_at: Moment | None = None
    user_id: Word | None = None
    cause: _NamedCause | None = None

    def content(self) -> dict[str, Any]:
        """What `EventPublisher` publishes, without id and cause; without user and time unless they are given."""
        given: dict[str, Any] = {"type": self.type, "data": self.data, "version": self.version, "key": self.key}
        if self.occurred_at:
            given["occurred_at"] = self.occurred_at
        if self.user_id:
            given["user_id"] = object_id(self.user_id) or self.user_id
        return given


def read_posted(content_type: str, body: bytes) -> PostedEvent:
    """The event in the body.

    Raises: Refusal 415 when the body is not said to be JSON, 400 when it is none, 422 naming what is wrong in it.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        wanted = f"send the event with the header Content-Type: {JSON}"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", wanted)
    try:
        found = json_object(body)
    except ValueError as error:
        reason = f"send one event as a JSON object; the body cannot be read: {error}"
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_json", reason) from None
    try:
        return PostedEvent.model_validate(found)
    except ValidationError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_event", _wrong(error)) from None


def is_repeat(content: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether all of the content stands in the stored event."""
    return _text(content) == _text({name: stored.get(name) for name in content})


def _text(content: Mapping[str, Any]) -> str:
    """Equal for equal content; Python itself holds 1 and true for equal."""
    return json.dumps(content, sort_keys=True, default=str)


def _wrong(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{_place(one['loc'])}: {_said(one)}" for one in errors[:MAX_NAMED])


def _place(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path))[:MAX_ID_CHARS]


def _said(wrong: Mapping[str, Any]) -> str:
    if wrong["type"] == "extra_forbidden":
        return f"there is no such field; an event has {', '.join(PostedEvent.model_fields)}"
    return str(wrong["msg"]).removeprefix("Value error, ")
