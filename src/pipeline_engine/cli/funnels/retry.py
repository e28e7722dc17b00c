"""`funnels retry`"""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.funnels.funnel_id import FunnelId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.presence import daemons, nobody
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.funnels.control import retry_clone


def command(id: FunnelId) -> None:
    """Take up a clone that failed, was cancelled or waits for its next run. Steps that are done stay done."""
    funnel_id = read_id(id)

    async def work(app: App) -> int:
        await retry_clone(app, funnel_id)
        return await daemons(app.redis, app.queue)

    running = session.with_app(work)
    screen = Screen()
    screen.line(f"funnel {funnel_id} is pending again")
    if not running:
        screen.line(nobody("funnels.clone"))
