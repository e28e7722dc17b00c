"""An account's limit on a type of automation: `limits: {<type>: per minute}` in its document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Grant
from pipeline_engine.repos.automation_repos import AutomationRepos

WITHOUT_REDIS = 1.0


async def within_limit(app: App[AutomationRepos], automation: Automation, wanted: int) -> Grant:
    """How many of so many deals may be worked off now. Tokens are taken first: an attempt is never used up by this."""
    limit = limit_of(await app.shared.accounts.get(automation.account_id), automation.type)
    if limit is None:
        return Grant(wanted, 0.0)
    try:
        return await app.rate_limiter.acquire(str(automation.account_id), automation.type, limit, wanted)
    except Unreachable:
        return Grant(0, WITHOUT_REDIS)


def limit_of(account: Mapping[str, Any], type: str) -> int | None:
    """None where the account has no limit, or none that is a number of at least 0."""
    limits = account.get("limits")
    limit = limits.get(type) if isinstance(limits, Mapping) else None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0:
        return None
    return int(limit)
