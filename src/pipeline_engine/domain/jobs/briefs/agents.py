"""The agents that gather facts for a brief: about the contacts, their companies and their deals. Pure.

An agent reads the records of a meeting and adds facts to the sheet. Another agent is a function and a row of `AGENTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline_engine.domain.jobs.briefs.meeting import Company, Document, Meeting
from pipeline_engine.domain.jobs.writing.display import ago, amount, count
from pipeline_engine.domain.jobs.writing.fact_sheet import FactSheet

MAX_CONTACTS, MAX_COMPANIES, MAX_DEALS, MAX_STRANGERS = 5, 3, 5, 3
"""A brief shows so many of each; of a meeting of more people, the first ones."""
KINDS_OF_TOUCH = {"call": "call", "meeting": "meeting"}

Agent = Callable[[Meeting, FactSheet], None]


def contact_agent(meeting: Meeting, sheet: FactSheet) -> None:
    """Who comes, when they were last spoken to, and how interested they are."""
    for contact in meeting.contacts[:MAX_CONTACTS]:
        who = _person(contact, sheet)
        _add_touch(meeting, sheet, contact, who)
        level, grade = contact.get("intent_level"), contact.get("lead_grade")
        if level in ("high", "medium"):
            sheet.add(f"{level}_intent", f"{who} shows {level} intent", "contacts", contact["_id"])
        if grade in ("A", "B"):
            sheet.add("grade", f"{who} is a lead of grade {grade}", "contacts", contact["_id"])
        if contact.get("lifecycle_stage") == "customer":
            sheet.add("customer", f"{who} is a customer", "contacts", contact["_id"])
    if meeting.strangers:
        people = count(len(meeting.strangers), "attendee is not among", "attendees are not among")
        names = ", ".join(sheet.name("E", email) for email in meeting.strangers[:MAX_STRANGERS])
        more = ", …" if len(meeting.strangers) > MAX_STRANGERS else ""
        sheet.add("strangers", f"{people} the contacts: {names}{more}", "calendar_events", meeting.event["_id"])


def _person(contact: Document, sheet: FactSheet) -> str:
    """Adds who the contact is; returns the placeholder of their name."""
    who = sheet.name("P", contact.get("name")) or sheet.name("P", contact.get("email"), "a contact without a name")
    title, company = sheet.name("T", contact.get("title")), sheet.name("C", contact.get("company"))
    if title or company:
        role = f"{title} at {company}" if title and company else title or f"at {company}"
        sheet.add("person", f"{who}: {role}", "contacts", contact["_id"])
    return who


def _add_touch(meeting: Meeting, sheet: FactSheet, contact: Document, who: str) -> None:
    touch = meeting.last_contact(contact["_id"])
    if touch is None:
        sheet.add("never_touched", f"No contact with {who} is on record", "contacts", contact["_id"])
        return
    when, kind = ago(touch.at, meeting.now), KINDS_OF_TOUCH.get(touch.type, "e-mail")
    sheet.add("last_touch", f"Last contact with {who}: {when} ({kind})", touch.collection, touch.id)


def company_agent(meeting: Meeting, sheet: FactSheet) -> None:
    """How well the company is known, and what it has bought."""
    for company in meeting.companies[:MAX_COMPANIES]:
        name = sheet.name("C", company.name)
        contact = _of_company(meeting, company.name)
        if not name or contact is None:
            continue
        if company.contacts > 1:
            known = count(company.contacts, "contact")
            sheet.add("company", f"{name}: {known} in the CRM", "contacts", contact["_id"])
        if company.won:
            _add_won(company, name, sheet)


def _add_won(company: Company, name: str, sheet: FactSheet) -> None:
    values = [value for deal in company.won if isinstance(value := deal.get("value"), int | float)]
    total = amount(sum(values)) if values else ""
    worth = f", worth {total} in all" if total not in ("", "0") else ""
    won = f"{name}: {count(len(company.won), 'deal')} won with those who come{worth}"
    sheet.add("won", won, "deals", company.won[0]["_id"])


def _of_company(meeting: Meeting, name: str) -> Document | None:
    return next((one for one in meeting.contacts if one.get("company") == name), None)


def deal_agent(meeting: Meeting, sheet: FactSheet) -> None:
    """Which deals are open, where they stand, and whether anything happens on them."""
    for deal in meeting.deals[:MAX_DEALS]:
        name = sheet.name("D", deal.get("name"), "a deal without a name")
        stage, value = sheet.name("S", deal.get("stage_name")), amount(deal.get("value"))
        facts = [f"worth {value}" if value not in ("", "0") else "", f"{stage} stage" if stage else ""]
        rest = ", ".join(part for part in facts if part)
        sheet.add("open_deal", f"Open deal: {name}{f', {rest}' if rest else ''}", "deals", deal["_id"])
        _add_quiet(meeting, sheet, deal, name)
    if len(meeting.deals) > MAX_DEALS:
        more = count(len(meeting.deals) - MAX_DEALS, "more deal is", "more deals are")
        sheet.add("more_deals", f"{more} open", "deals", meeting.deals[MAX_DEALS]["_id"])


def _add_quiet(meeting: Meeting, sheet: FactSheet, deal: Document, name: str) -> None:
    found = meeting.standing(deal)
    if found.state != "fresh":
        sheet.add("quiet_deal", f"Nothing has happened on {name} for {count(found.days, 'day')}", "deals", deal["_id"])


AGENTS: Mapping[str, Agent] = {"contact": contact_agent, "company": company_agent, "deal": deal_agent}
"""In this order they add to the sheet."""


def gather(meeting: Meeting) -> FactSheet:
    """All that the agents know about the meeting."""
    sheet = FactSheet()
    for agent in AGENTS.values():
        agent(meeting, sheet)
    return sheet
