"""What is known about a meeting: its event, and the records around the people who come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Company:
    """How many contacts work for a company, and what its won deals brought."""

    name: str
    contacts: int
    won: Sequence[Document] = ()


@dataclass(frozen=True)
class Meeting:
    """A calendar event with the records that matter for it. All lists are in the order in which they are shown."""

    event: Document
    now: datetime
    strangers: int = 0
    """Attendees who are neither contacts nor users of the account."""
    contacts: Sequence[Document] = ()
    companies: Sequence[Company] = ()
    deals: Sequence[Document] = ()
    """Open deals, each with `stage_name`."""
    activities: Sequence[Document] = ()
    """Of the contacts and deals, the newest first."""
    notes: Sequence[Document] = field(default_factory=tuple)
    """As `activities`."""

    def last_touch(self, record: str, id: Any) -> Document | None:
        """The newest e-mail, call, meeting or note of a contact (`record` "contact_id") or a deal ("deal_id") that has
        taken place."""
        for one in self.activities:
            moment = usable_date(one.get("occurred_at"))
            if moment and moment <= self.now and str(one.get(record)) == str(id):
                return one
        return None


def attendees_of(event: Document) -> list[str]:
    """The e-mail addresses of the attendees in lower case, each once. The CRM may store them as objects."""
    listed = event.get("attendees")
    found = [_address(one) for one in listed[:200]] if isinstance(listed, list) else []
    return list(dict.fromkeys(address for address in found if address))


def _address(attendee: object) -> str:
    text = attendee.get("email") if isinstance(attendee, Mapping) else attendee
    return text.strip().lower() if isinstance(text, str) and "@" in text else ""


def ids_of(documents: Sequence[Document]) -> list[ObjectId]:
    """The ids of documents."""
    return [one["_id"] for one in documents]
