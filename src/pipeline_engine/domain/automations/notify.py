"""Socket events of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.repos.automation_repos import AutomationRepos


async def tell(
    app: App[AutomationRepos], claim: AutomationClaim, event: str, users: Sequence[Any], data: dict[str, Any]
) -> None:
    """Once per run and kind of event: a repeat has the same id."""
    message = {"_id": f"{event}:{claim.run_id}", "account_id": claim.automation.account_id, "event": event}
    await app.shared.events.send(
        {**message, "user_ids": [str(user) for user in users if user is not None], "data": data}
    )
