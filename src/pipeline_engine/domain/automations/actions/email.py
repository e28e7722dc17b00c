"""Sends an e-mail to the deal's contact, from one of the account's templates."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.compose import compose_emails, email_template
from pipeline_engine.domain.messages.message import Deliver, senders


async def compose(app: App, automation: Automation, deals: Sequence[Deal]) -> list[Deliver | Exception]:
    account_id = automation.account_id
    template = await email_template(app, account_id, automation.reference("email_template_id"))
    return senders(app, await compose_emails(app, account_id, template, [{"deal": deal} for deal in deals]))


def points_at(automation: Automation) -> dict[str, list[ObjectId]]:
    return {"email_templates": [automation.reference("email_template_id")]}


ACTION = SendMessage("email", compose, points_at)
