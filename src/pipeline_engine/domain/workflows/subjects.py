"""Which contacts an event is about: the one that it names, or those of the deals that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.workflows.step import Document, event_facts
from pipeline_engine.ids import object_id
from pipeline_engine.repos.workflow_repos import WorkflowRepos

DEAL_FIELDS = ("contact_id", "lead_id")
"""The fields of a deal that are read in any case."""


@dataclass(frozen=True)
class Subject:
    """A contact of an event, with the deal and lead that it is about, if any; empty where there is none."""

    contact: Document
    deal: Document
    lead: Document

    def facts(self, event: Document) -> dict[str, Any]:
        """What filters read."""
        return {**event_facts(event), "contact": self.contact, "deal": self.deal, "lead": self.lead}

    def references(self) -> dict[str, Any]:
        """The fields of an enrolment that name deal and lead."""
        named = {"deal_id": self.deal.get("_id"), "lead_id": self.lead.get("_id")}
        return {name: id for name, id in named.items() if id is not None}


def _named(data: object, *names: str) -> Any:
    found = (data.get(name) for name in names) if isinstance(data, Mapping) else ()
    return next((id for id in map(_read_id, found) if id is not None), None)


def _read_id(value: object) -> ObjectId | str | None:
    return object_id(value) or (value if isinstance(value, str) and value else None)


def contact_of(event: Document) -> Any:
    """The contact that the event names; None without one. Pure."""
    return _named(event.get("data"), "contact_id", "contactId")


def deals_of(event: Document) -> list[Any]:
    """The deals that the event names. Pure."""
    data = event.get("data")
    many = data.get("deals") if isinstance(data, Mapping) else None
    listed = [id for id in map(_read_id, many) if id is not None] if isinstance(many, list) else []
    one = _named(data, "deal_id", "dealId")
    return [*([one] if one else []), *(id for id in listed if str(id) != str(one))]


async def subjects_of(
    app: App[WorkflowRepos], account_id: ObjectId, events: Sequence[Document], records: Iterable[str]
) -> dict[Any, list[Subject]]:
    """{event id: its contacts that exist}. Of `contact`, `deal` and `lead`, those in `records` are read with all
    fields. A contact with several deals in one event is there once for each."""
    read, full = app.repos.workflow_records.read, set(records)
    named = {event["_id"]: (contact_of(event), deals_of(event)) for event in events}
    wanted = {id for contact, ids in named.values() if ids and ("deal" in full or contact is None) for id in ids}
    deals = await read("deals", account_id, list(wanted), None if "deal" in full else DEAL_FIELDS)
    leads_named = {event["_id"]: _named(event.get("data"), "lead_id", "leadId") for event in events}
    lead_ids = [id for id in leads_named.values() if id] if "lead" in full else []
    leads = await read("leads", account_id, lead_ids, None)
    pairs = {
        id: _pairs(contact, [deals.get(str(one), {"_id": one} if contact else {}) for one in ids])
        for id, (contact, ids) in named.items()
    }
    contact_ids = {str(contact): contact for found in pairs.values() for contact, _ in found}
    contacts = await read("contacts", account_id, list(contact_ids.values()), None if "contact" in full else ["_id"])
    return {
        id: [
            Subject(contacts[str(contact)], deal, leads.get(str(leads_named[id]), {}))
            for contact, deal in found
            if str(contact) in contacts
        ]
        for id, found in pairs.items()
    }


def _pairs(contact: Any, deals: Sequence[Document]) -> list[tuple[Any, Document]]:
    """(contact, deal) for each contact of the event."""
    if contact is not None:
        return [(contact, deals[0] if deals else {})]
    return [(deal["contact_id"], deal) for deal in deals if deal.get("contact_id")]
