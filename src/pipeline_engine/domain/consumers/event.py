"""A CRM event as consumers see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.events.payloads import MALFORMED, EventData, read_payload
from pipeline_engine.domain.events.publisher import check_depth
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.client import Document


@dataclass(frozen=True)
class Event:
    """`data` is checked; `document` is the event as it is stored."""

    document: Document
    type: str
    data: EventData
    occurred_at: datetime

    @property
    def id(self) -> Any:
        return self.document["_id"]

    @property
    def contact(self) -> ObjectId | None:
        """The contact that the event names; None without one whose id is an ObjectId."""
        return object_id(self.data.contact_id)


def read_event(document: Document, now: datetime) -> Event:
    """The event. One without a time is taken to have occurred when it was first consumed, which is now or `ended_at`.

    Raises: Permanent `payload` when its type, time or data cannot be used, `cause_depth` when its chain is too long.
    """
    type = document.get("type")
    if not isinstance(type, str) or not type:
        raise Permanent("the event has no type", MALFORMED)
    moment = document.get("occurred_at")
    if moment is not None and usable_date(moment) is None:
        raise Permanent("occurred_at is not a date between the years 11 and 9989", MALFORMED)
    check_depth(document)
    data = read_payload(type, document.get("data", {}), document.get("version"))
    return Event(document, type, data, moment or usable_date(document.get("ended_at")) or now)
