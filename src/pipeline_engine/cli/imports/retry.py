"""`imports retry`"""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.imports.import_id import ImportId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.presence import daemons, nobody
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.control import retry


def command(id: ImportId) -> None:
    """Take up an import that failed or was cancelled. Rows that are done stay done."""
    import_id = read_id(id)

    async def work(app: App) -> int:
        await retry(app, import_id)
        return await daemons(app.redis, app.queue)

    running = session.with_app(work)
    screen = Screen()
    screen.line(f"import {import_id} is pending again")
    if not running:
        screen.line(nobody("deals.import"))
