"""An automation, read from its document and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import fingerprint, object_id

Reentry = Literal["once", "per_entry"]

MAX_DURATION = timedelta(days=3650)
"""A longer one is a typing error, and would leave the calendar."""


@dataclass(frozen=True)
class Automation:
    """`delay` is the time from a deal's entry into the stage to the action."""

    id: ObjectId
    type: str
    account_id: ObjectId
    stage_id: ObjectId
    delay: timedelta
    created_at: datetime
    active_from: datetime | None
    reentry: Reentry
    created_by: Any
    config: Mapping[str, Any]
    """The whole document, for the fields that only its type has."""

    @property
    def since(self) -> datetime:
        """The automation does not fire for deals that entered the stage before this."""
        return max(self.created_at, self.active_from) if self.active_from else self.created_at

    def until(self, now: datetime) -> datetime:
        """Deals that entered the stage after this are not due at `now`."""
        return now - self.delay

    @property
    def shape(self) -> str:
        """A fingerprint that changes with every edit that may make other deals match."""
        return fingerprint(self.stage_id, self.delay, self.since, self.reentry, size=8).hex()

    def reference(self, field: str) -> ObjectId:
        """The id that a field of the configuration holds. Raises: Permanent naming the field."""
        found = object_id(self.config.get(field))
        if found is None:
            raise Permanent(f"the automation has no valid {field}", "bad_automation")
        return found

    @property
    def tags(self) -> list[Any]:
        """The tags that its `tag` or `tags` names. Raises: Permanent when there is none."""
        tags = self.config.get("tags") or [self.config.get("tag")]
        if not isinstance(tags, list) or not any(tags):
            raise Permanent("the automation has neither tag nor tags", "bad_automation")
        return [tag for tag in tags if tag]

    def tag_references(self) -> dict[str, list[ObjectId]]:
        """Those of its tags that are ids. Raises: as `tags`."""
        return {"tags": [tag for tag in map(object_id, self.tags) if tag]}

    @property
    def creator(self) -> object:
        """The user in whose name it asks the CRM for something. Raises: Permanent when it has none."""
        if not self.created_by:
            reason = "the automation has no created_by, and the CRM's internal API wants a user"
            raise Permanent(reason, "bad_automation")
        return self.created_by

    def creator_reference(self) -> dict[str, list[ObjectId]]:
        """Its creator, for actions that ask the CRM for something in the creator's name."""
        creator = object_id(self.created_by)
        return {"users": [creator] if creator else []}


def read_automation(document: Mapping[str, Any]) -> Automation:
    """Raises: Permanent naming the field that is missing or malformed."""
    if not isinstance(document["_id"], ObjectId):
        raise Permanent("_id must be an ObjectId", "bad_automation")
    references = {name: object_id(document.get(name)) for name in ("account_id", "stage_id")}
    if None in references.values():
        raise Permanent("account_id and stage_id must be ids", "bad_automation")
    return Automation(
        id=document["_id"],
        type=str(document.get("type")),
        delay=seconds(document, "delay"),
        created_at=_moment(document, "createdAt") or document["_id"].generation_time,
        active_from=_moment(document, "active_from"),
        reentry="per_entry" if document.get("reentry") == "per_entry" else "once",
        created_by=document.get("created_by"),
        config=document,
        **references,  # type: ignore[arg-type]
    )


def read_or_fault(document: Mapping[str, Any]) -> Automation | str:
    """The automation, or what is wrong with its document."""
    try:
        return read_automation(document)
    except Permanent as error:
        return str(error)


def seconds(document: Mapping[str, Any], field: str) -> timedelta:
    """The duration that a field holds in seconds; zero without one. Raises: Permanent naming the field."""
    value = document.get(field) or 0
    # Written so that NaN, which is neither more nor less than any number, is refused as well.
    if not isinstance(value, int | float) or not 0 <= value <= MAX_DURATION.total_seconds():
        raise Permanent(f"{field} must be a number of seconds, from zero to ten years", "bad_automation")
    return timedelta(seconds=value)


def _moment(document: Mapping[str, Any], field: str) -> datetime | None:
    value = document.get(field)
    if value is not None and usable_date(value) is None:
        raise Permanent(f"{field} must be a date between the years 11 and 9989", "bad_automation")
    return usable_date(value)
