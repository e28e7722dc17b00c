"""Has the CRM make an InstaReport for the deal."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Composed, Deal, SendMessage
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.messages.message import ReportRequest, identity, senders
from pipeline_engine.errors import Permanent


async def compose(app: App, automation: Automation, deals: Sequence[Deal]) -> Sequence[Composed]:
    report_type = automation.config.get("report_type")
    if not isinstance(report_type, str) or not report_type:
        raise Permanent("the automation has no report_type", "bad_automation")
    creator = await identity(app, automation.account_id, automation.creator)
    return senders(app, [ReportRequest(creator, str(deal["_id"]), report_type) for deal in deals])


ACTION = SendMessage("crm_api", compose, Automation.creator_reference)
