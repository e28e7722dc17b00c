"""What follows from a report that a mail of ours did not arrive, or that its receiver complained about it.

Anyone can write such a report, so it counts fully only when it names a mail that this account sent; any other is a
soft bounce.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.domain.mail.delivery_report import Bounce
from pipeline_engine.domain.mailboxes.bounce_breaker import check_bounce_rate
from pipeline_engine.domain.mailboxes.origin import Origin, find_origin
from pipeline_engine.domain.mailboxes.stored_mail import StoredMail
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.suppress import suppress, unsubscribe
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document

SOFT_BOUNCES = 3
SOFT_WINDOW = timedelta(days=30)
HARD, SOFT, COMPLAINT = "hard_bounce", "soft_bounces", "complaint"
"""Reasons of suppressions."""

log = logs.get(__name__)


async def follow_report(one: StoredMail) -> None:
    """Suppress addresses, publish bounces, and pause sequences of which too much bounces."""
    origin = await find_origin(one.app, one.account_id, one.mail.original_message_ids)
    if one.mail.kind == "complaint":
        await _complaint(one, origin)
        return
    if one.is_history and not origin:
        return
    for bounce in one.mail.bounces:
        await _bounced(one, origin, bounce)
    if origin and origin.sequence_id and one.mail.bounces:
        await check_bounce_rate(one, origin)


async def _bounced(one: StoredMail, origin: Origin | None, bounce: Bounce) -> None:
    address, is_hard = bounce.address, bounce.severity == "hard" and origin is not None
    await one.records.add_bounces([_row(one, origin, bounce, is_hard)])
    if is_hard:
        await suppress(one.app, one.account_id, "email", address, HARD)
    elif await one.records.count_bounces(one.account_id, address, one.app.clock.now() - SOFT_WINDOW) >= SOFT_BOUNCES:
        await suppress(one.app, one.account_id, "email", address, SOFT)
    records = await _records(one, origin, address)
    id = one.event_id("email.bounced", address)
    if records:
        await one.add_activities(id, [records])
        details = {"address": address, "bounce_type": "hard" if is_hard else "soft", "code": bounce.code}
        await one.publish("email.bounced", id, records | details)
    log.info("email.bounced", account_id=str(one.account_id), hard=is_hard, code=bounce.code, known=origin is not None)


def _row(one: StoredMail, origin: Origin | None, bounce: Bounce, is_hard: bool) -> Document:
    """Several reports about one mail are one bounce."""
    about = origin.message_id if origin else one.mail.message_id
    own = {"account_id": one.account_id, "address": bounce.address, "at": one.occurred_at, "code": bounce.code}
    row: Document = {
        "_id": derived_id("email bounce", one.account_id, bounce.address, about),
        **own,
        "message_id": about,
    }
    row |= {"hard": is_hard, "createdAt": one.app.clock.now()}
    if origin and origin.sequence_id:
        row |= {"sequence_id": origin.sequence_id, "sender_id": origin.sender_id}
    return row


async def _records(one: StoredMail, origin: Origin | None, address: str) -> dict[str, Any]:
    """Whose address bounced: of whom the mail was, else the contact or open lead with the address."""
    if origin and origin.records:
        return origin.records
    contacts, leads = await one.people.contacts(address), await one.people.open_leads(address)
    found = {"contact_id": contacts[0]["_id"]} if contacts else {}
    return found | ({"lead_id": leads[0]} if leads else {})


async def _complaint(one: StoredMail, origin: Origin | None) -> None:
    """Suppress who complained. Many providers leave the address out; then it is that of the mail's contact or lead."""
    if origin is None:
        log.warning("complaint.not_ours", account_id=str(one.account_id), email_account_id=str(one.mailbox["_id"]))
        return
    for address in one.mail.complainants or await _addresses(one, origin):
        await unsubscribe(one.app, OptOut(one.account_id, "email", address, origin.key), COMPLAINT)


async def _addresses(one: StoredMail, origin: Origin) -> tuple[str, ...]:
    places = (("contacts", origin.contact_id, "email"), ("leads", origin.lead_id, "email"))
    found = [await one.records.one(name, one.account_id, id, field) for name, id, field in places if id]
    return tuple(str(each["email"]).lower() for each in found if "@" in str(each.get("email")))
