"""Notices that Redis has forgotten everything: of jobs that nobody had begun, MongoDB tells of no change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable

FRUGAL = 300.0
"""Seconds between two looks where every command to Redis is paid for."""

log = logs.get(__name__)


async def notice(app: App, pokes: Collection[Callable[[Any], None]]) -> None:
    """Have everything looked at whenever the mark of this daemon is gone. The first one is new, and costs a look too
    many."""
    while True:
        with suppress(Unreachable):  # it may come back without its memory
            if await app.queue.mark(app.owner):
                log.info("Redis does not know us: everything is looked at")
                for poke in pokes:
                    poke(None)
        await asyncio.sleep(FRUGAL if app.settings.profile == "frugal" else app.settings.heartbeat_seconds)
