"""Sends an SMS to the deal's contact: the automation's own `message`, or one of the account's templates."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Composed, Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.compose_deals import compose_deals
from pipeline_engine.domain.messages.compose import compose_texts, sms_template
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.automation_repos import AutomationRepos


async def compose(app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal]) -> list[Composed]:
    return await compose_deals(app, automation, await _template(app, automation), deals, compose_texts)


async def _template(app: App, automation: Automation) -> dict[str, str]:
    if _has_template(automation):
        return await sms_template(app, automation.account_id, automation.reference("sms_template_id"))
    message = automation.config.get("message")
    if not isinstance(message, str) or not message.strip():
        raise Permanent("the automation has neither sms_template_id nor message", "bad_automation")
    return {"body": message}


def _has_template(automation: Automation) -> bool:
    return bool(automation.config.get("sms_template_id"))


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"sms_templates": [automation.reference("sms_template_id")]} if _has_template(automation) else {}


ACTION = SendMessage("sms", compose, points_at)
