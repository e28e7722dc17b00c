"""Sends an SMS to the deal's contact: a message of the automation's own, or one of the account's templates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.effects import Deliver
from pipeline_engine.domain.merge_fields import merge_fields
from pipeline_engine.domain.recipients import recipients
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.phone_number import read_phone_number
from pipeline_engine.repos.automation_repos import AutomationRepos


async def compose(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal]
) -> list[Deliver | Exception]:
    account_id = automation.account_id
    body = await _body(app, automation)
    account = await app.shared.accounts.get(account_id)
    written = await app.renderer.render({"body": body}, [merge_fields(deal, account) for deal in deals])
    to = await recipients(app, account_id, "sms", [deal.get("contact_phone") for deal in deals], read_phone_number)
    return [_message(app, number, texts) for number, texts in zip(to, written, strict=True)]


async def _body(app: App[AutomationRepos], automation: Automation) -> str:
    body = automation.config.get("message")
    if _template_id(automation):
        template = await app.shared.templates.sms(automation.account_id, automation.reference("sms_template_id"))
        if template is None:
            raise Permanent("this account has no such SMS template", "missing_template")
        body = template.get("body")
    if not isinstance(body, str) or not body.strip():
        raise Permanent(
            "the automation has neither sms_template_id nor message, or its template is empty", "bad_automation"
        )
    return body


def _template_id(automation: Automation) -> object:
    return automation.config.get("sms_template_id")


def _message(
    app: App[AutomationRepos], number: str | Permanent, texts: dict[str, str] | Permanent
) -> Deliver | Exception:
    if isinstance(number, Permanent):
        return number
    if isinstance(texts, Permanent):
        return texts
    return partial(app.sms.send, number, texts["body"])


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"sms_templates": [automation.reference("sms_template_id")]} if _template_id(automation) else {}


ACTION = SendMessage("sms", compose, points_at)
