"""`imports watch`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.imports.follow import follow, rows_done, seconds_taken
from pipeline_engine.cli.imports.import_id import ImportId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.presence import daemons, nobody
from pipeline_engine.cli.screen import Screen


def command(id: ImportId) -> None:
    """Follow an import to its end. Exit code 0: completed; 1: failed or cancelled."""
    import_id = read_id(id)
    screen = Screen()

    async def work(app: App) -> Mapping[str, Any]:
        if not await daemons(app.redis, app.queue):
            typer.echo(nobody("deals.import"), err=True)
        return await follow(app, import_id, screen)

    queue = session.with_app(work)
    screen.line(ending(queue))
    raise typer.Exit(0 if queue["status"] == "completed" else session.FAILED)


def ending(queue: Mapping[str, Any]) -> str:
    """How an import ended, in one line."""
    progress, seconds = queue.get("progress") or {}, seconds_taken(queue)
    figures = f"{progress.get('rows_added', 0):,} rows added, {progress.get('rows_failed', 0):,} failed"
    speed = f", {rows_done(progress) / seconds:,.0f} rows/s" if seconds else ""
    why = f": {queue['error']}" if queue.get("error") else ""
    return f"{queue['status']}{why}; {figures} in {seconds:,.1f} s{speed}"
