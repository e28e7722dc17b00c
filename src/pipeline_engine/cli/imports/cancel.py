"""`imports cancel`"""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.imports.import_id import ImportId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.presence import daemons, nobody
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.control import cancel


def command(id: ImportId) -> None:
    """End an import before its last row. What is imported stays."""
    import_id = read_id(id)

    async def work(app: App) -> tuple[str, int]:
        return await cancel(app, import_id), await daemons(app.redis, app.queue)

    status, running = session.with_app(work)
    screen = Screen()
    screen.line(f"import {import_id} is {status} and will be cancelled")
    if not running:
        screen.line(nobody("deals.import"))
