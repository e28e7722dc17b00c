"""Events on their way out, carried in the test's own process."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.workers.events import SYSTEM


async def carry_events(app: App) -> None:
    """One sweep of the outbox and the jobs that it finds, one after the other."""
    scope, cache = app.with_repos(SYSTEM.open_repos), SYSTEM.new_cache(app.settings)
    for unit in await relay.find(app):
        for kind, id in unit.jobs:
            await SYSTEM.handlers[kind](scope, cache, id)
