"""Which contacts an event is about: the one that it names, or those of the deals that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.workflows.step import COLLECTIONS, Document, event_facts
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


def lead_of(event: Document) -> Any:
    """The lead that the event names; None without one. Pure."""
    return _named(event.get("data"), "lead_id", "leadId")


def records_of(event: Document, subjects: Iterable[Subject]) -> dict[str, list[Any]]:
    """{field of an enrolment: ids} of the records for which a wait may hear of the event. Pure."""
    lead = lead_of(event)
    contacts = [id for one in subjects for id in (one.contact["_id"], one.deal.get("contact_id")) if id is not None]
    return {"contact_id": contacts, "deal_id": deals_of(event), "lead_id": [] if lead is None else [lead]}


async def subjects_of(
    app: App[WorkflowRepos], account_id: ObjectId, events: Sequence[Document], records: Iterable[str]
) -> dict[Any, list[Subject]]:
    """{event id: its contacts that exist}, each with its deal and the lead that the event or else the deal names. Of
    `contact`, `deal` and `lead`, those in `records` are read with all fields. A contact with several deals in one
    event is there once for each."""
    full = set(records)

    async def read(name: str, ids: Iterable[Any], least: Sequence[str]) -> Mapping[str, Document]:
        distinct = {str(id): id for id in ids if id is not None}
        fields = None if name in full else least
        return await app.repos.workflow_records.read(COLLECTIONS[name], account_id, [*distinct.values()], fields)

    named = {event["_id"]: (contact_of(event), deals_of(event), lead_of(event)) for event in events}
    deals = await read("deal", (id for _, ids, _ in named.values() for id in ids), DEAL_FIELDS)
    about = {
        id: _about(contact, lead, [deals.get(str(one), {"_id": one} if contact else {}) for one in ids])
        for id, (contact, ids, lead) in named.items()
    }
    contacts = await read("contact", (contact for found in about.values() for contact, _, _ in found), ["_id"])
    leads = await read("lead", (lead for found in about.values() for *_, lead in found), ["_id"])
    return {
        id: [
            Subject(contacts[str(contact)], deal, leads.get(str(lead), {}))
            for contact, deal, lead in found
            if str(contact) in contacts
        ]
        for id, found in about.items()
    }


def _about(contact: Any, lead: Any, deals: Sequence[Document]) -> list[tuple[Any, Document, Any]]:
    """(contact, deal, id of the lead) for each contact of the event."""
    of_deals = [(deal["contact_id"], deal) for deal in deals if deal.get("contact_id")]
    pairs = of_deals if contact is None else [(contact, deals[0] if deals else {})]
    return [(who, deal, deal.get("lead_id") if lead is None else lead) for who, deal in pairs]
