"""`serve`: HTTP without the daemon; daemons elsewhere do the work."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.cron import TIMETABLE, Sweep
from pipeline_engine.engine import keep_time
from pipeline_engine.supervise import Poke, end, supervise
from pipeline_engine.sweeper import dispatch


def command() -> None:
    """Serve HTTP without running jobs, until Ctrl-C."""
    session.with_app(_serve)


async def _serve(app: App) -> None:
    from pipeline_engine.admin.server import listening  # importing it takes a tenth of a second

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    pokes = {sweep.name: (sweep, Poke()) for sweep in TIMETABLE if sweep.enabled(app.settings)}
    loops = {f"sweep {name}": partial(_sweep, app, *one) for name, one in pokes.items()}
    loops["clock"] = partial(keep_time, app)
    async with listening(app, {name: poke for name, (_, poke) in pokes.items()}) as address:
        tasks = [asyncio.create_task(supervise(*one)) for one in loops.items()]
        Screen().line(f"listening at {address}")
        await stop.wait()
        await end(*tasks)


async def _sweep(app: App, sweep: Sweep, poke: Poke) -> None:
    """Run the sweep whenever a trigger asks for it; a sweep that failed runs again."""
    while True:
        await poke.wait()
        try:
            await dispatch(app, await sweep.find(app))
        except Exception:
            poke()
            raise
