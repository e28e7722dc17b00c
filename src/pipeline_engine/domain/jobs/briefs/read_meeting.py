"""Reads the records around the attendees of a calendar event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.attendees import attendees_of
from pipeline_engine.domain.jobs.briefs.meeting import Company, Meeting, ids_of
from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.domain.jobs.stale.standing import Thresholds
from pipeline_engine.repos.sales_records import Touch

MAX_CONTACTS, MAX_DEALS, MAX_NOTES = 400, 200, 10
MAX_WON = 1_000

Document = Mapping[str, Any]


async def read_meeting(work: JobWork, event: Document) -> Meeting:
    """All that the account's records say about who comes to the meeting."""
    records, account_id = work.app.repos.sales_records, work.account_id
    emails = attendees_of(event)
    contacts = await records.contacts_by_email(account_id, emails, MAX_CONTACTS) if emails else []
    known = {str(one.get("email", "")).lower() for one in contacts}
    unknown = [email for email in emails if email not in known]
    colleagues = await records.user_emails(account_id, unknown) if unknown else set()
    strangers = [email for email in unknown if email not in colleagues]
    if not contacts:
        return Meeting(event, work.now, strangers)
    places = {email: place for place, email in enumerate(emails)}
    contacts.sort(key=lambda one: places.get(str(one["email"]).lower(), len(places)))
    ids = ids_of(contacts)
    deals = await records.open_deals_of(account_id, ids, MAX_DEALS)
    return Meeting(
        event,
        work.now,
        strangers,
        contacts=contacts,
        companies=await _companies(work, contacts),
        deals=deals,
        touches=await _touches(work, ids, ids_of(deals)),
        limits=Thresholds.of(work.profile),
        notes=await records.notes_of(account_id, ids, ids_of(deals), MAX_NOTES),
    )


async def _touches(work: JobWork, contacts: Sequence[ObjectId], deals: Sequence[ObjectId]) -> dict[str, list[Touch]]:
    records, account_id = work.app.repos.sales_records, work.account_id
    of_contacts = await records.touches(account_id, "contact_id", contacts)
    return of_contacts | await records.touches(account_id, "deal_id", deals)


async def _companies(work: JobWork, contacts: Sequence[Document]) -> list[Company]:
    records, account_id = work.app.repos.sales_records, work.account_id
    people: dict[str, list[ObjectId]] = defaultdict(list)
    for contact in contacts:
        if isinstance(name := contact.get("company"), str) and name.strip():
            people[name].append(contact["_id"])
    if not people:
        return []
    counts = await records.count_contacts(account_id, [*people])
    won = await records.won_deals_of(account_id, ids_of(contacts), MAX_WON)
    return [
        Company(name, counts.get(name, 0), [deal for deal in won if str(deal["contact_id"]) in set(map(str, ids))])
        for name, ids in people.items()
    ]
