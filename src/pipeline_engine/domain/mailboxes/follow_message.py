"""What follows from a mail that a person or an auto-responder wrote, and from one that the mailbox's user wrote."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.mail.mail_address import MailAddress
from pipeline_engine.domain.mail.parsed_mail import ParsedMail
from pipeline_engine.domain.mailboxes.origin import Origin, find_origin
from pipeline_engine.domain.mailboxes.stored_mail import StoredMail
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document

MAX_PEOPLE = 20
"""Contacts and leads of one address, or addressees of one mail, that get a row each."""
MAX_TEXT_CHARS = 20_000
SENT = "email.sent"
"""Part of the ids of rows about sent mails; no event has it."""


async def follow_message(one: StoredMail) -> None:
    """Write timeline and replies of leads, and publish the event. An automatic reply is received, never replied."""
    mail = one.mail
    origin = await find_origin(one.app, one.account_id, answered_ids(mail))
    contacts = [{"contact_id": found["_id"]} for found in await one.people.contacts(mail.from_.address)][:MAX_PEOPLE]
    leads = await _leads(one, origin)
    records = (contacts[0] if contacts else {}) | (origin.records if origin else {})
    records |= {"lead_id": leads[0]} if leads and "lead_id" not in records else {}
    type = event_type(mail, origin)
    id = one.event_id(type)
    others = [each for each in contacts if each["contact_id"] != records.get("contact_id")]
    if records:
        await one.add_activities(id, [records, *others])
    if origin or not one.is_history:
        await _add_responses(one, id, leads)
        if records or mail.kind == "message":
            await one.publish(type, id, records | _details(mail, origin))
    _link(one, contacts or ([records] if records else []))


async def follow_sent(one: StoredMail) -> None:
    """Write the timeline of each contact to whom the mail went, unless the engine sent it and keeps its own record."""
    if await find_origin_of_own(one):
        return
    addresses = [each.address for each in addressees(one.mail)]
    contacts = [{"contact_id": found["_id"]} for found in await one.people.contacts(*addresses)][:MAX_PEOPLE]
    if contacts:
        await one.add_activities(one.event_id(SENT), contacts)
        one.links.update(contacts[0])


def addressees(mail: ParsedMail) -> list[MailAddress]:
    """To whom a mail went, as far as their timelines show it."""
    return [*mail.to, *mail.cc][:MAX_PEOPLE]


async def find_origin_of_own(one: StoredMail) -> bool:
    """Whether a unit of the engine sent this mail."""
    found = await find_origin(one.app, one.account_id, [one.mail.message_id])
    return found is not None and bool(found.key)


def answered_ids(mail: ParsedMail) -> list[str]:
    """The Message-IDs that the mail answers, the nearest first."""
    nearest = [mail.in_reply_to] if mail.in_reply_to else []
    return list(dict.fromkeys([*nearest, *reversed(mail.references)]))


def event_type(mail: ParsedMail, origin: Origin | None) -> str:
    """The one event that a mail is."""
    if mail.kind == "auto_reply":
        return "email.received"
    return "email.forwarded" if mail.is_forward else "email.replied" if origin else "email.received"


def _details(mail: ParsedMail, origin: Origin | None) -> Document:
    details: Document = {"auto": True} if mail.kind == "auto_reply" else {}
    if origin:
        details |= {"in_reply_to": origin.message_id, "key": origin.key}
        details |= {"sequence_id": origin.sequence_id} if origin.sequence_id else {}
    return details


async def _leads(one: StoredMail, origin: Origin | None) -> list[Any]:
    """The leads whose reply it is: the one whose mail is answered, else the open ones with the sender's address."""
    if origin and origin.lead_id:
        return [origin.lead_id]
    address = one.mail.from_.address
    return (await one.people.open_leads(address))[:MAX_PEOPLE] if address else []


async def _add_responses(one: StoredMail, event_id: str, leads: list[Any]) -> None:
    """Insert the replies of leads. The first has the `_id` under which the consumer of the event would insert it."""
    auto = {"auto": True} if one.mail.kind == "auto_reply" else {}
    own = {"account_id": one.account_id, "channel": "email", "received_at": one.occurred_at, "event_id": event_id}
    own |= {"message_id": one.mail.message_id, "text": one.mail.reply_text[:MAX_TEXT_CHARS], **auto}
    ids = [
        derived_id("lead_response", one.account_id, event_id, *([lead] if n else [])) for n, lead in enumerate(leads)
    ]
    rows = [{"_id": id, "lead_id": lead, **own} for id, lead in zip(ids, leads, strict=True)]
    await one.app.shared.people.add_responses(rows)


def _link(one: StoredMail, found: list[Document]) -> None:
    """Note to whom the mail belongs, or by which address it may be linked later."""
    if found:
        one.links.update(found[0])
    elif one.mail.from_.address:
        one.links["unlinked"] = one.mail.from_.address
