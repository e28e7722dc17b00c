"""`serve`: HTTP without the daemon; daemons elsewhere do the work."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

from pipeline_engine import workers
from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.engine import keep_time
from pipeline_engine.run_forever import run_forever, stop_tasks
from pipeline_engine.sweeper import dispatch
from pipeline_engine.wake_up import WakeUp
from pipeline_engine.workers.sweep import Sweep


def command() -> None:
    """Serve HTTP without running jobs, until Ctrl-C."""
    session.with_app(_serve)


async def _serve(app: App) -> None:
    from pipeline_engine.admin.server import listening  # importing it takes a tenth of a second

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    wake_ups: dict[str, WakeUp] = {}
    loops = {"clock": partial(keep_time, app)}
    for system in workers.enabled(app.settings):
        scope = app.with_repos(system.open_repos)
        for sweep in system.sweeps:
            wake_ups[sweep.name] = WakeUp()
            loops[f"sweep {sweep.name}"] = partial(_sweep, scope, sweep, wake_ups[sweep.name])
    async with listening(app, wake_ups) as address:
        tasks = [asyncio.create_task(run_forever(*one)) for one in loops.items()]
        Screen().line(f"listening at {address}")
        await stop.wait()
        await stop_tasks(*tasks)


async def _sweep(app: App[Any], sweep: Sweep[Any], wake_up: WakeUp) -> None:
    """Run the sweep whenever a trigger asks for it; a sweep that failed runs again."""
    while True:
        await wake_up.wait()
        try:
            await dispatch(app, await sweep.find(app))
        except Exception:
            wake_up()
            raise
