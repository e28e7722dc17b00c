"""Listens at HTTP_HOST and HTTP_PORT."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from pipeline_engine import logs
from pipeline_engine.admin.site import site
from pipeline_engine.admin.triggers import Trigger
from pipeline_engine.app import App
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings import Settings

GRACE = 3
"""Seconds that requests under way get at the end."""
MOST_AT_ONCE = 100

log = logs.get(__name__)


class _Server(uvicorn.Server):
    """Signals are for the process, which stops the server in its turn."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: App, trigger: Trigger) -> AsyncIterator[str]:
    """Serve as long as the context lasts; yields the address.

    Raises: ConfigError naming APP_SECRET when it is missing, HTTP_PORT when nobody may listen there.
    """
    if app.tokens is None:
        raise ConfigError("APP_SECRET: given nothing: without it nobody could prove who asks over HTTP")
    door = _door(app.settings)
    config = uvicorn.Config(
        site(app, app.tokens, trigger),
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([door]), name="http")
    address = "http://{}:{}".format(*door.getsockname()[:2])
    log.info("listening", address=address)
    try:
        yield address
    finally:
        server.should_exit = True
        await serving
        door.close()


def _door(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.http_host, settings.http_port))
    except OSError as error:
        raise ConfigError(f"HTTP_PORT: given {settings.http_port}: cannot listen there: {error.strerror}") from None
