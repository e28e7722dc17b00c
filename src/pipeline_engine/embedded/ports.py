"""Free ports on loopback, and a web application on one."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner

HOST = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections, also with an offset of 10,000, so that no outgoing
# connection takes a port after it was found free and before its server binds it.
MIN_PORT, MAX_PORT = 15_000, 22_000


def free_ports(count: int, offset: int = 0) -> list[int]:
    """`count` different ports that are free now; with `offset`, the ports that are higher by it are free, too.

    Another process may still take one first; then the caller tries again with other ports.
    """
    found: list[int] = []
    with ExitStack() as bound:  # all are bound at once, so that they differ
        while len(found) < count:
            port = MIN_PORT + secrets.randbelow(MAX_PORT - MIN_PORT)
            if all(_bind(bound, number) for number in {port, port + offset}):
                found.append(port)
    return found


def _bind(bound: ExitStack, port: int) -> bool:
    endpoint = bound.enter_context(socket.socket())
    try:
        endpoint.bind((HOST, port))
    except OSError:
        return False
    return True


async def listen(app: Application) -> tuple[AppRunner, int]:
    """Serve `app` on a free port. Returns the runner, which the caller cleans up, and the port."""
    from aiohttp.web import AppRunner, SockSite

    runner = AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    endpoint = socket.create_server((HOST, 0))
    await SockSite(runner, endpoint).start()
    return runner, endpoint.getsockname()[1]
