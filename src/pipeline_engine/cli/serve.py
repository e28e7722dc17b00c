"""`serve`: the doors over HTTP alone; the work is done by daemons elsewhere."""

from __future__ import annotations

import asyncio
import signal

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.cron import Sweep
from pipeline_engine.sweeper import dispatch


def command() -> None:
    """HTTP alone, against the configured servers, until Ctrl-C."""
    session.with_app(_serve)


async def _serve(app: App) -> None:
    from pipeline_engine.admin.server import listening  # no other command needs it, and it takes a while

    stop, one_at_a_time = asyncio.Event(), asyncio.Lock()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    async def trigger(sweep: Sweep) -> None:
        async with one_at_a_time:
            await dispatch(app, await sweep.find(app))

    async with listening(app, trigger) as address:
        Screen().line(f"listening at {address}")
        await stop.wait()
