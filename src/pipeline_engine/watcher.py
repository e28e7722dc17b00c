"""Hears of changes that make work due, so that nobody has to wait for cron."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App

log = logs.get(__name__)


async def watch(app: App, pokes: Mapping[str, Callable[[Any], None]]) -> None:
    """Poke what watches a collection whenever something in it became due; `pokes` is by collection."""
    if not await app.server.has_change_streams():
        log.info("no change streams on a standalone MongoDB: work is found by the timetable alone")
        await asyncio.Event().wait()
    async with app.changes.listen() as heard:
        for rung in pokes.values():
            rung(None)  # of what came before, nobody tells
        async for change in heard:
            if poke := pokes.get(change.collection):
                poke(change.stage)
                if (wait := _wait(app, change.at)) > 0:
                    asyncio.get_running_loop().call_later(wait, poke, change.stage)


def _wait(app: App, moment: datetime | None) -> float:
    """Seconds until then, the millisecond over in which MongoDB's times end."""
    return (moment - app.clock.now()).total_seconds() + 0.001 if moment else 0.0
