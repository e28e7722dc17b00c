"""Sends an e-mail to the deal's contact, from one of the account's templates."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Composed, Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.compose_deals import compose_deals
from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.providers.email import MAX_CONNECTIONS
from pipeline_engine.repos.automation_repos import AutomationRepos


async def compose(app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal]) -> list[Composed]:
    template = await email_template(app, automation.account_id, automation.reference("email_template_id"))
    return await compose_deals(app, automation, template, deals, compose_emails)


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"email_templates": [automation.reference("email_template_id")]}


ACTION = SendMessage("email", compose, points_at, parallel=MAX_CONNECTIONS)
