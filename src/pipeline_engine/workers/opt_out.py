"""What follows when a person wants no more messages, over all systems."""

from __future__ import annotations

from typing import Any

from pipeline_engine import logs, workers
from pipeline_engine.app import App
from pipeline_engine.domain.messages.opt_out import OptOut
from pipeline_engine.domain.messages.suppress import UNSUBSCRIBED, unsubscribe
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.workers.system import System

log = logs.get(__name__)


async def opt_out(app: App, wish: OptOut, reason: str = UNSUBSCRIBED) -> None:
    """Suppress the address, publish the event, and cancel what the systems have scheduled for it. The suppression comes
    first: after a crash no system sends any more, and what is scheduled ends when it finds that out."""
    await unsubscribe(app, wish, reason)
    cancelled = 0
    for system in workers.enabled(app.settings):
        cancelled += await _cancel(system, app, wish)
    facts = {"account_id": str(wish.account_id), "channel": wish.channel, "source": wish.source}
    log.info("recipient.opted_out", **facts, reason=reason, cancelled=cancelled)


async def _cancel(system: System[Any], app: App, wish: OptOut) -> int:
    """An error keeps no other system from its part: the suppression holds in any case."""
    if system.on_opt_out is None:
        return 0
    try:
        return await system.on_opt_out(app.with_repos(system.open_repos), wish)
    except Exception as error:
        log.warning("opt_out.cancel_failed", system=system.name, error=full(error))
        return 0
