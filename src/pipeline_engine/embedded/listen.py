"""A web application on a free loopback port."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pipeline_engine.embedded.ports import HOST

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner


async def listen(app: Application) -> tuple[AppRunner, int]:
    """Serve `app`: the runner, which the caller cleans up, and the port."""
    from aiohttp.web import AppRunner, SockSite

    runner = AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    door = socket.create_server((HOST, 0))
    await SockSite(runner, door).start()
    return runner, door.getsockname()[1]
