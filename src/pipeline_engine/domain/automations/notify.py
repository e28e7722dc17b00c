"""Socket events of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.hold import Hold


async def tell(app: App, hold: Hold, event: str, users: Sequence[Any], data: dict[str, Any]) -> None:
    """Once per run and kind of event: a repeat has the same id."""
    message = {"_id": f"{event}:{hold.run_id}", "account_id": hold.automation.account_id, "event": event}
    await app.events.send({**message, "user_ids": [str(user) for user in users if user is not None], "data": data})
