"""Has the CRM make an InstaReport for the deal."""

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
    report_type = automation.config.get("report_type")
    if not isinstance(report_type, str) or not report_type:
        raise Permanent("the automation has no report_type", "bad_automation")
    creator = await on_behalf(app, automation)
    return [partial(app.crm_api.make_report, creator, str(deal["_id"]), report_type) for deal in deals]


ACTION = SendMessage("crm_api", compose)
