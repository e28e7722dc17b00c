"""Has the CRM make an InstaSite for the deal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.on_behalf import on_behalf
from pipeline_engine.domain.effects import Deliver
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.automation_repos import AutomationRepos


async def compose(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[Deal]
) -> list[Deliver | Exception]:
    template = automation.config.get("site_template_id")
    if not template:
        raise Permanent("the automation has no site_template_id", "bad_automation")
    creator = await on_behalf(app, automation)
    return [partial(app.crm_api.make_site, creator, str(deal["_id"]), str(template)) for deal in deals]


ACTION = SendMessage("crm_api", compose)
