"""Sends new contacts the account's welcome e-mail, each contact once."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.consumers.event import Event
from pipeline_engine.domain.events.jobs import CRM_EVENTS
from pipeline_engine.domain.events.publisher import EventPublisher, caused_by
from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.domain.messages.earlier_sends import carry_over, send_keys
from pipeline_engine.domain.messages.limits import rests_of, within_limit
from pipeline_engine.domain.messages.merge_fields import MergeRecords
from pipeline_engine.domain.messages.message import Deliver, senders
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import Delivered, Limited, SendResult
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.repos.consumer_repos import ConsumerRepos

HELD = "welcome_email.held"
"""An e-mail that waits, for the send window or behind a limit, is an event of its own, with a key of its own: the
contact's other events do not wait behind it."""
TYPES = frozenset({"contact.created", HELD})
NOT_WRITABLE = ("missing_address", "bad_address", "suppressed")
"""Codes of contacts without an address, or who unsubscribed: they get no e-mail, and that is no failure."""
PLACES = 5
SEND_SECONDS = 10.0
REST_SECONDS = 1.0
"""After this time an e-mail is due again that was not begun in time."""

Contacts = Mapping[ObjectId, Mapping[str, Any]]
Ends = list[tuple[Event, SendResult | None]]
"""How the e-mails of events ended; None: it was not begun."""

log = logs.get(__name__)


async def send(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Send the welcome e-mail to each contact, where the account has one."""
    template_id = (await app.repos.business_profiles.get(account_id)).get("welcome_email_template_id")
    if not template_id:
        return {}
    contacts = await app.repos.contacts.find(account_id, [event.contact for event in events if event.contact])
    wanted = {event.contact: event for event in events if event.contact in contacts}
    grant = await within_limit(app, account_id, "email", len(wanted))
    now, late = [*wanted.values()][: grant.units], [*wanted.values()][grant.units :]
    rests = await rests_of(app, account_id, "email", len(late), grant.after)
    ended: Ends = [(event, Limited(rest.total_seconds())) for event, rest in zip(late, rests, strict=True)]
    ended += await _send(app, account_id, template_id, now, contacts) if now else []
    for event, result in ended:
        if isinstance(result, Limited) and event.type != HELD:
            await _wait_apart(app, account_id, event)
    errors = {event.id: _error(event, result) for event, result in ended}
    return {id: error for id, error in errors.items() if error}


async def _send(
    app: App[ConsumerRepos], account_id: ObjectId, template_id: Any, events: Sequence[Event], contacts: Contacts
) -> Ends:
    if (id := object_id(template_id)) is None:
        raise Permanent("welcome_email_template_id is no id", "missing_template")
    template = await email_template(app, account_id, id)
    records: list[MergeRecords] = [{"contact": contacts[event.contact]} for event in events if event.contact]
    mails = senders(app, await compose_emails(app, account_id, template, records, "welcome"))
    keys = await _keys(app, account_id, events)
    units = {keys[event.id]: mail for event, mail in zip(events, mails, strict=True) if event.id in keys}
    writable = {key: mail for key, mail in units.items() if not _is_skipped(mail)}
    results = await _send_all(app, account_id, writable)
    return [(event, results.get(keys[event.id])) for event in events if keys.get(event.id) in writable]


async def _wait_apart(app: App[ConsumerRepos], account_id: ObjectId, event: Event) -> None:
    data = {"contact_id": str(event.contact), "retries": _retries(event)}
    key, id, cause = f"welcome:{event.contact}", f"{event.id}.held", caused_by(event.document)
    await EventPublisher(app).publish(HELD, data, account_id, key=key, id=id, cause=cause)


async def _keys(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> dict[Any, str]:
    """{event id: key of its e-mail in `effects`} of those whose contact has not got it. A dead letter that is retried
    has a key of its own, as the record of the one before says that it failed; if that one may have gone out, the new
    record says that it is a possible double."""
    tries = {event.id: send_keys(f"welcome:{event.contact}", _retries(event)) for event in events}
    sent = await carry_over(app, account_id, "email", {keys[-1]: keys[:-1] for keys in tries.values()})
    return {id: keys[-1] for id, keys in tries.items() if keys[-1] not in sent}


def _retries(event: Event) -> int:
    before = (event.data.model_extra or {}).get("retries", 0) if event.type == HELD else 0
    return max(0, min(int(event.document.get("retries", 0)) + int(before), 100))


def _is_skipped(mail: Deliver | Exception) -> bool:
    if not isinstance(mail, Permanent) or mail.code not in NOT_WRITABLE:
        return False
    log.info("welcome_email.skipped", reason=mail.code)
    return True


async def _send_all(
    app: App[ConsumerRepos], account_id: ObjectId, units: Mapping[str, Deliver | Exception]
) -> Mapping[str, SendResult]:
    async def still_wanted(keys: Collection[str]) -> Collection[str]:
        return keys

    until = time.monotonic() + SEND_SECONDS
    options = {"places": PLACES, "until": until, "attempts": CRM_EVENTS.attempts}
    return await send_all(app, account_id, "email", units, still_wanted=still_wanted, **options)  # type: ignore[arg-type]


def _error(event: Event, result: SendResult | None) -> Exception | None:
    match result:
        case Delivered():
            return None
        case Limited() if event.type != HELD:
            return None
        case Limited(after):
            return RateLimited(max(REST_SECONDS, after))
        case None:
            return RateLimited(REST_SECONDS)
    return Transient(result.error)
