"""Hears of changes that make work due, so that nobody has to wait for cron."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App

log = logs.get(__name__)


async def watch(app: App, pokes: Mapping[str, Callable[[Any], None]]) -> None:
    """Poke what watches a collection whenever something in it became due; `pokes` is by collection."""
    if not await app.server.has_change_streams():
        log.info("no change streams on a standalone MongoDB: work is found by the timetable alone")
        await asyncio.Event().wait()
    async with aclosing(app.changes.listen()) as heard:
        async for change in heard:
            if poke := pokes.get(change.collection):
                poke(change.stage)
