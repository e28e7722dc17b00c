"""Sends a mail to the deal's contact, from one of the account's templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.effects import Deliver
from pipeline_engine.domain.merge_fields import merge_fields
from pipeline_engine.domain.recipients import recipients
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.email_message import Mail
from pipeline_engine.repos.automation_repos import AutomationRepos


async def compose(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal]
) -> list[Deliver | Exception]:
    account_id = automation.account_id
    parts = parts_of(await app.shared.templates.email(account_id, automation.reference("email_template_id")))
    account = await app.shared.accounts.get(account_id)
    written = await app.renderer.render(parts, [merge_fields(deal, account) for deal in deals])
    contacts = [deal.get("contact_email") for deal in deals]
    to = await recipients(app, account_id, "email", contacts, read_email_address)
    return [_mail(app, address, texts) for address, texts in zip(to, written, strict=True)]


def parts_of(template: Mapping[str, Any] | None) -> dict[str, str]:
    """The parts that a template has. Raises: Permanent when there is no template or nothing in it."""
    if template is None:
        raise Permanent("this account has no such e-mail template", "missing_template")
    parts = {name: str(template[name]) for name in ("subject", "html", "text") if template.get(name)}
    if not parts.keys() & {"html", "text"}:
        raise Permanent("the e-mail template is empty", "bad_template")
    return parts


def _mail(
    app: App[AutomationRepos], address: str | Permanent, texts: dict[str, str] | Permanent
) -> Deliver | Exception:
    if isinstance(address, Permanent):
        return address
    if isinstance(texts, Permanent):
        return texts
    mail = Mail(address, texts.get("subject", ""), texts.get("text", ""), texts.get("html"))
    return partial(app.mailer.send, mail)


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"email_templates": [automation.reference("email_template_id")]}


ACTION = SendMessage("email", compose, points_at)
