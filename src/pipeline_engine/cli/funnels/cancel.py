"""`funnels cancel`"""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.funnels.funnel_id import FunnelId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.presence import daemons, nobody
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.funnels.control import cancel_clone


def command(id: FunnelId) -> None:
    """End a clone, or clear up after one that failed: its steps, forms, images and their objects go."""
    funnel_id = read_id(id)

    async def work(app: App) -> int:
        await cancel_clone(app, funnel_id)
        return await daemons(app.redis, app.queue)

    running = session.with_app(work)
    screen = Screen()
    screen.line(f"the clone {funnel_id} will be cancelled and what it has copied removed")
    if not running:
        screen.line(nobody("funnels.clone"))
