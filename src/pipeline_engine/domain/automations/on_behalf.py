"""For whom an automation asks the CRM for something: its creator."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.claims import Identity
from pipeline_engine.repos.automation_repos import AutomationRepos


async def on_behalf(app: App[AutomationRepos], automation: Automation) -> Identity:
    """Raises: Permanent when the automation has no creator."""
    if not automation.created_by:
        raise Permanent("the automation has no created_by, and the CRM's internal API wants a user", "bad_automation")
    account = await app.shared.accounts.get(automation.account_id)
    parent = account.get("parent_account")
    return Identity(
        uid=str(automation.created_by),
        account_id=str(automation.account_id),
        parent_account=str(parent) if parent else None,
    )
