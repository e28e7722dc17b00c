"""Composes e-mails and SMS: a template, filled in for each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.messages.merge_fields import FIELDS_OF, MergeRecords, merge_fields
from pipeline_engine.domain.messages.message import TextMessage
from pipeline_engine.domain.messages.recipients import recipients
from pipeline_engine.domain.messages.unsubscribe import unsubscribe_uris
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.providers.renderer import NotRendered
from pipeline_engine.repos.messages import Channel

Texts = dict[str, str]
"""A template, or what it became, by part: `subject`, `html` and `text` of an e-mail, `body` of an SMS."""

ADDRESS_FIELD: dict[Channel, str] = {"email": "email", "sms": "phone"}


async def email_template(app: App, account_id: ObjectId, template_id: ObjectId) -> Texts:
    """The parts of one of the account's templates. Raises: Permanent when there is no such template, or it is empty."""
    template = await app.shared.templates.email(account_id, template_id)
    if template is None:
        raise Permanent("this account has no such e-mail template", "missing_template")
    parts = {name: str(template[name]) for name in ("subject", "html", "text") if template.get(name)}
    if not parts.keys() & {"html", "text"}:
        raise Permanent("the e-mail template is empty", "bad_template")
    return parts


async def sms_template(app: App, account_id: ObjectId, template_id: ObjectId) -> Texts:
    """As `email_template`."""
    template = await app.shared.templates.sms(account_id, template_id)
    if template is None:
        raise Permanent("this account has no such SMS template", "missing_template")
    body = template.get("body")
    if not isinstance(body, str) or not body.strip():
        raise Permanent("the SMS template is empty", "bad_template")
    return {"body": body}


async def compose_emails(
    app: App, account_id: ObjectId, template: Texts, records: Sequence[MergeRecords], source: str = ""
) -> list[Mail | NotRendered]:
    """For each of the records, in their order, the e-mail to its contact, or why there is none: RateLimited where it
    takes another call. The receiver can unsubscribe from it; `source`, such as `automation:<id>`, is kept then.

    Raises: Transient when the engine could not do it now.
    """
    composed = await _compose(app, account_id, "email", template, records)
    return [one if isinstance(one, NotRendered) else _mail(app, account_id, source, *one) for one in composed]


async def compose_texts(
    app: App, account_id: ObjectId, template: Texts, records: Sequence[MergeRecords], source: str = ""
) -> list[TextMessage | NotRendered]:
    """For each of the records, in their order, the SMS to its contact, or why there is none.

    Raises: as `compose_emails`.
    """
    composed = await _compose(app, account_id, "sms", template, records)
    return [one if isinstance(one, NotRendered) else TextMessage(one[0], one[1]["body"]) for one in composed]


async def _compose(
    app: App, account_id: ObjectId, channel: Channel, template: Texts, records: Sequence[MergeRecords]
) -> list[tuple[str, Texts] | NotRendered]:
    """Address and filled-in texts."""
    account = await app.shared.accounts.whole(account_id)
    fields = [merge_fields(account, **one) for one in records]
    known = {name: FIELDS_OF[name] for name in (fields[0] if fields else ())}
    written = await app.renderer.render(template, fields, known, account_id)
    to = await recipients(app, account_id, channel, [one["contact"][ADDRESS_FIELD[channel]] for one in fields])
    return [_both(address, texts) for address, texts in zip(to, written, strict=True)]


def _both(address: str | Permanent, texts: Texts | NotRendered) -> tuple[str, Texts] | NotRendered:
    if isinstance(address, Permanent):
        return address
    return texts if isinstance(texts, NotRendered) else (address, texts)


def _mail(app: App, account_id: ObjectId, source: str, address: str, texts: Mapping[str, str]) -> Mail:
    uris = unsubscribe_uris(app, account_id, address, source)
    return Mail(address, texts.get("subject", ""), texts.get("text", ""), texts.get("html"), unsubscribe=uris)
