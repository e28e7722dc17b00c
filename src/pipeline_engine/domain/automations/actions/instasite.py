"""Has the CRM make an InstaSite for the deal."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Composed, Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.message import SiteRequest, identity, senders
from pipeline_engine.errors import Permanent


async def compose(app: App, automation: Automation, deals: Sequence[Deal]) -> Sequence[Composed]:
    template = automation.config.get("site_template_id")
    if not template:
        raise Permanent("the automation has no site_template_id", "bad_automation")
    creator = await identity(app, automation.account_id, automation.creator)
    return senders(app, [SiteRequest(creator, str(deal["_id"]), str(template)) for deal in deals])


ACTION = SendMessage("crm_api", compose, Automation.creator_reference)
