"""The messages that can leave, as plain values, and what sends each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.providers.claims import Identity
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered

Recorded = Callable[[], Awaitable[None]]
"""Returns when the attempt is recorded; what it raises ends the attempt. Nothing may be sent before."""
Deliver = Callable[[str, Recorded], Awaitable[str | None]]
"""Makes the provider's call for a unit key and returns the provider's id of what was sent.

Raises: Permanent, Transient or RateLimited when nothing was sent, Unknown when it may have been.
"""


@dataclass(frozen=True)
class TextMessage:
    """One SMS to one number. `to_hash`: the hash of the number, by which an answer finds the account."""

    to: str
    body: str
    to_hash: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TextDelivery:
    """Sends an SMS to this number: the whole call comes behind the record, which has `to_hash`."""

    to: str
    call: Callable[[str], Awaitable[str | None]]
    to_hash: str | None

    async def __call__(self, key: str, recorded: Recorded) -> str | None:
        await recorded()
        return await self.call(key)


@dataclass(frozen=True)
class ReportRequest:
    """Has the CRM make an InstaReport for a deal, in a user's name."""

    on_behalf: Identity
    deal_id: str
    report_type: str


@dataclass(frozen=True)
class SiteRequest:
    """Has the CRM make an InstaSite for a deal, in a user's name."""

    on_behalf: Identity
    deal_id: str
    site_template_id: str


Message = Mail | TextMessage | ReportRequest | SiteRequest


def senders(app: App, messages: Sequence[Message | NotRendered]) -> list[Deliver | Exception]:
    """What sends each message, in their order; a reason why there is no message stays as it is."""
    return [one if isinstance(one, NotRendered) else sender(app, one) for one in messages]


def sender(app: App, message: Message) -> Deliver:
    """What sends the message; nothing is sent before it is called with a unit key."""
    match message:
        case Mail():
            return partial(app.senders.mailer.send, message)
        case TextMessage(to, body, to_hash):
            return TextDelivery(to, partial(app.senders.sms.send, to, body), to_hash)
        case ReportRequest(on_behalf, deal_id, report_type):
            return _one_call(partial(app.senders.crm_api.make_report, on_behalf, deal_id, report_type))
        case SiteRequest(on_behalf, deal_id, site_template_id):
            return _one_call(partial(app.senders.crm_api.make_site, on_behalf, deal_id, site_template_id))


def _one_call(call: Callable[[str], Awaitable[str | None]]) -> Deliver:
    """The whole call comes behind the record."""

    async def deliver(key: str, recorded: Recorded) -> str | None:
        await recorded()
        return await call(key)

    return deliver


async def identity(app: App, account_id: ObjectId, user_id: object) -> Identity:
    """The user of the account in whose name the CRM is asked for something."""
    parent = (await app.shared.accounts.get(account_id)).get("parent_account")
    return Identity(str(user_id), str(account_id), parent_account=str(parent) if parent else None)
