"""`serve`: the doors over HTTP alone; the work is done by daemons elsewhere."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.cron import TIMETABLE, Sweep
from pipeline_engine.engine import keep_time
from pipeline_engine.run_forever import run_forever, stop_tasks
from pipeline_engine.sweeper import dispatch
from pipeline_engine.wake_up import WakeUp


def command() -> None:
    """HTTP alone, against the configured servers, until Ctrl-C."""
    session.with_app(_serve)


async def _serve(app: App) -> None:
    from pipeline_engine.admin.server import listening  # no other command needs it, and it takes a while

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    pokes = {sweep.name: (sweep, WakeUp()) for sweep in TIMETABLE if sweep.enabled(app.settings)}
    loops = {f"sweep {name}": partial(_sweep, app, *one) for name, one in pokes.items()}
    loops["clock"] = partial(keep_time, app)
    async with listening(app, {name: poke for name, (_, poke) in pokes.items()}) as address:
        tasks = [asyncio.create_task(run_forever(*one)) for one in loops.items()]
        Screen().line(f"listening at {address}")
        await stop.wait()
        await stop_tasks(*tasks)


async def _sweep(app: App, sweep: Sweep, poke: WakeUp) -> None:
    """Only when it is asked for; a look that failed is made again."""
    while True:
        await poke.wait()
        try:
            await dispatch(app, await sweep.find(app))
        except Exception:
            poke()
            raise
