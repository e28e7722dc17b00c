"""An automation as its document says, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from pipeline_engine.errors import Permanent
from pipeline_engine.ids import fingerprint, object_id

Reentry = Literal["once", "per_entry"]

LONGEST = timedelta(days=3650)
"""More is a slip of the hand, and would leave the calendar."""


@dataclass(frozen=True)
class Automation:
    """`delay` is the time between a deal's entry into the stage and the action."""

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
    """The whole document, for the fields of its type."""

    @property
    def since(self) -> datetime:
        """Deals that entered the stage before this do not fire."""
        return max(self.created_at, self.active_from) if self.active_from else self.created_at

    def until(self, now: datetime) -> datetime:
        """Deals that entered the stage after this are not due yet."""
        return now - self.delay

    @property
    def shape(self) -> str:
        """Changes with every edit that may make other deals match."""
        return fingerprint(self.stage_id, self.delay, self.since, self.reentry, size=8).hex()

    def reference(self, field: str) -> ObjectId:
        """An id out of the configuration.

        Raises: Permanent naming the field.
        """
        found = object_id(self.config.get(field))
        if found is None:
            raise Permanent(f"the automation has no valid {field}", "bad_automation")
        return found


def read_automation(document: Mapping[str, Any]) -> Automation:
    """Raises: Permanent naming the field that is missing or malformed."""
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


def seconds(document: Mapping[str, Any], field: str) -> timedelta:
    """A length of time out of the configuration; none given is zero. Raises: Permanent naming the field."""
    value = document.get(field) or 0
    # InsertDocument so that NaN, which is neither more nor less than anything, is refused as well.
    if not isinstance(value, int | float) or not 0 <= value <= LONGEST.total_seconds():
        raise Permanent(f"{field} must be a number of seconds, from zero to ten years", "bad_automation")
    return timedelta(seconds=value)


def _moment(document: Mapping[str, Any], field: str) -> datetime | None:
    value = document.get(field)
    if value is not None and not isinstance(value, datetime):
        raise Permanent(f"{field} must be a date", "bad_automation")
    return value
