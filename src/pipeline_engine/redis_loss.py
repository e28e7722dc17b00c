"""Notices that Redis has forgotten everything: of jobs that nobody had begun, MongoDB tells of no change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable

FRUGAL = 300.0
"""Seconds between two looks where every command to Redis is paid for."""

log = logs.get(__name__)


async def notice(app: App, pokes: Collection[Callable[[Any], None]]) -> None:
    """Have everything looked at whenever the mark of this daemon is gone, or may have been."""
    is_known = False
    while True:
        try:
            is_new = await app.queue.mark(app.owner)
        except Unreachable:
            is_known = False  # it may come back without its memory, and have taken a mark of which we never heard
        else:
            if is_new or not is_known:
                log.info("Redis may have forgotten jobs: everything is looked at")
                for poke in pokes:
                    poke(None)
            is_known = True
        await asyncio.sleep(FRUGAL if app.settings.profile == "frugal" else app.settings.heartbeat_seconds)
