"""Suppresses an address: from then on the account sends it nothing more over the channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.relay import crm_event, publish_due
from pipeline_engine.domain.messages.addresses import address_hash, normal_address
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.recipients import READ
from pipeline_engine.domain.messages.unsubscribe import read_token
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.messages import SUPPRESSIONS, Channel

UNSUBSCRIBED = "unsubscribed"


async def suppress(app: App, account_id: ObjectId, channel: Channel, address: str, reason: str) -> None:
    """Suppress the address for good; it holds from the next message on. Doing it twice does nothing more.

    `reason` is stored, such as `hard_bounce` or `complaint`. No event is published.
    """
    await _add(app, OptOut(account_id, channel, address), reason, ())


async def unsubscribe(app: App, wish: OptOut, reason: str = UNSUBSCRIBED) -> None:
    """As `suppress`; and publish `email.unsubscribed` (`sms.unsubscribed`) once, for each contact with the address."""
    contacts = await app.shared.people.contacts(wish.account_id, wish.channel, wish.spellings)
    wishes = ObjectId()
    about = [{"contact_id": str(one["_id"])} for one in contacts] or [{}]
    data = {"address": wish.address, "channel": wish.channel, "source": wish.source, "reason": reason}
    kind = f"{wish.channel}.unsubscribed"
    events = [crm_event(f"{wishes}.{n}", kind, None, {**one, **data}) for n, one in enumerate(about)]
    suppression = await _add(app, wish, reason, events)
    if suppression.get("events_due"):
        await publish_due(app, SUPPRESSIONS, suppression)


async def unsubscribe_by_mail(app: App, subject: str) -> bool:
    """Unsubscribe if a mail with this subject was sent by the address of `List-Unsubscribe`. Returns whether it was.

    All accounts send by one SMTP_FROM, so its mailbox receives the wishes of all of them. The token says which account
    is meant, and only the engine can make one: it is as good here as in a POST to `/u/TOKEN`."""
    word, _, token = subject.strip().partition(" ")
    if word.lower() != "unsubscribe" or (wish := read_token(app.recipients_key, "".join(token.split()))) is None:
        return False
    await unsubscribe(app, wish)
    return True


async def _add(app: App, wish: OptOut, reason: str, events: Sequence[dict[str, Any]]) -> Mapping[str, Any]:
    country = (await app.shared.accounts.get(wish.account_id)).get("country") if wish.channel == "sms" else None
    normal = normal_address(wish.channel, wish.address, country)
    hash = address_hash(app.recipients_key, normal)
    return await app.shared.suppressions.add(wish.account_id, wish.channel, normal, hash, reason, events)


async def add_hashes(app: App, suppressions: Sequence[Mapping[str, Any]]) -> None:
    """Store the hash of each suppression that the CRM wrote, so that it holds when its address is deleted."""
    missing = [(one, id) for one in suppressions if (id := object_id(one.get("account_id"))) and _lacks_hash(one)]
    countries = {id: (await app.shared.accounts.get(id)).get("country") for id in {id for _, id in missing}}
    known = [(one, normal) for one, id in missing if (normal := _normal(one.get("address"), countries[id]))]
    await app.shared.suppressions.set_hashes([(one, address_hash(app.recipients_key, normal)) for one, normal in known])


def _lacks_hash(suppression: Mapping[str, Any]) -> bool:
    return not suppression.get("address_hash")


def _normal(address: object, country: object) -> str | None:
    """The normal form of an address or number; None where it is neither."""
    channel: Channel = "email" if "@" in str(address) else "sms"
    try:
        return normal_address(channel, READ[channel](address), country)
    except Permanent:
        return None
