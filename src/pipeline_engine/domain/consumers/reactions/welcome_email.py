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
from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.domain.messages.limits import within_limit
from pipeline_engine.domain.messages.merge_fields import MergeRecords
from pipeline_engine.domain.messages.message import Deliver, senders
from pipeline_engine.domain.messages.send_all import send_all
from pipeline_engine.domain.messages.send_result import Delivered, Limited, SendResult, is_doubtful
from pipeline_engine.errors import Permanent, RateLimited, Transient
from pipeline_engine.ids import object_id
from pipeline_engine.repos.consumer_repos import ConsumerRepos

TYPES = frozenset({"contact.created"})
NOT_WRITABLE = ("missing_address", "bad_address", "suppressed")
"""Codes of contacts without an address, or who unsubscribed: they get no e-mail, and that is no failure."""
PLACES = 5
SEND_SECONDS = 10.0
REST_SECONDS = 1.0
"""After this time an e-mail is due again that was not begun in time."""

Contacts = Mapping[ObjectId, Mapping[str, Any]]

log = logs.get(__name__)


async def send(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> Mapping[Any, Exception]:
    """Send the welcome e-mail to each contact, where the account has one."""
    template_id = (await app.repos.business_profiles.get(account_id)).get("welcome_email_template_id")
    if not template_id:
        return {}
    contacts = await app.repos.contacts.find(account_id, [event.contact for event in events if event.contact])
    wanted = {event.contact: event for event in events if event.contact in contacts}
    grant = await within_limit(app, account_id, "email", len(wanted))
    now, later = [*wanted.values()][: grant.units], [*wanted.values()][grant.units :]
    errors: dict[Any, Exception] = {event.id: RateLimited(max(REST_SECONDS, grant.after)) for event in later}
    return {**errors, **await _send(app, account_id, template_id, now, contacts)} if now else errors


async def _send(
    app: App[ConsumerRepos], account_id: ObjectId, template_id: Any, events: Sequence[Event], contacts: Contacts
) -> dict[Any, Exception]:
    if (id := object_id(template_id)) is None:
        raise Permanent("welcome_email_template_id is no id", "missing_template")
    template = await email_template(app, account_id, id)
    records: list[MergeRecords] = [{"contact": contacts[event.contact]} for event in events if event.contact]
    mails = senders(app, await compose_emails(app, account_id, template, records, "welcome"))
    keys = await _keys(app, account_id, events)
    units = {keys[event.id]: mail for event, mail in zip(events, mails, strict=True) if event.id in keys}
    writable = {key: mail for key, mail in units.items() if not _is_skipped(mail)}
    results = await _send_all(app, account_id, writable)
    errors = {event.id: _error(results.get(key)) for event in events if (key := keys.get(event.id)) in writable}
    return {id: error for id, error in errors.items() if error}


async def _keys(app: App[ConsumerRepos], account_id: ObjectId, events: Sequence[Event]) -> dict[Any, str]:
    """{event id: key of its e-mail in `effects`} of those whose contact has not got it. A dead letter that is retried
    has a key of its own, as the record of the one before says that it failed; if that one may have gone out, the new
    record says that it is a possible double."""
    tries = {event.id: [_key(event, n) for n in range(_retries(event) + 1)] for event in events}
    records = await app.shared.effects.records(account_id, [key for keys in tries.values() for key in keys[:-1]])
    sent = {key for key, record in records.items() if record["state"] == "sent"}
    left = {id: keys for id, keys in tries.items() if not sent & set(keys)}
    doubtful = {key for key, record in records.items() if is_doubtful(record)}
    in_doubt = [keys[-1] for keys in left.values() if doubtful & set(keys[:-1])]
    await app.shared.effects.begin_in_doubt(account_id, "email", in_doubt)
    return {id: keys[-1] for id, keys in left.items()}


def _key(event: Event, retries: int) -> str:
    return f"welcome:{event.contact}" + (f".{retries}" if retries else "")


def _retries(event: Event) -> int:
    return max(0, min(int(event.document.get("retries", 0)), 100))


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


def _error(result: SendResult | None) -> Exception | None:
    match result:
        case Delivered():
            return None
        case Limited(after):
            return RateLimited(max(REST_SECONDS, after))
        case None:
            return RateLimited(REST_SECONDS)
    return Transient(result.error)
