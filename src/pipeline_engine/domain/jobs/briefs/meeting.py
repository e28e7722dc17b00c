"""What is known about a meeting: its event, and the records around the people who come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.jobs.stale.standing import Standing, Thresholds, standing
from pipeline_engine.repos.sales_records import Touch

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
    strangers: Sequence[str] = ()
    """The addresses of attendees who are neither contacts nor users of the account."""
    contacts: Sequence[Document] = ()
    companies: Sequence[Company] = ()
    deals: Sequence[Document] = ()
    """Open deals, each with `stage_name`."""
    touches: Mapping[str, Sequence[Touch]] = field(default_factory=dict)
    """{id of a contact or deal as text: the last touch of each type until now}"""
    limits: Thresholds = field(default_factory=Thresholds)
    """From when on the account counts a deal as stale."""
    notes: Sequence[Document] = field(default_factory=tuple)
    """The newest first."""

    def last_contact(self, contact_id: Any) -> Touch | None:
        """The last e-mail, call or meeting with a contact. A note about them is none."""
        touches = [touch for touch in self.touches.get(str(contact_id), ()) if touch.type != "note"]
        return max(touches, key=lambda touch: touch.at, default=None)

    def standing(self, deal: Document) -> Standing:
        """How long nothing has happened on a deal, as alerts of stale deals count it."""
        last = {id: max(some, key=lambda touch: touch.at) for id, some in self.touches.items() if some}
        return standing(deal, last, last, self.limits, self.now)


def ids_of(documents: Sequence[Document]) -> list[ObjectId]:
    """The ids of documents."""
    return [one["_id"] for one in documents]
