"""Serves the site at HTTP_HOST and HTTP_PORT."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from pipeline_engine import logs
from pipeline_engine.admin.connection import Connection
from pipeline_engine.admin.site import site
from pipeline_engine.admin.triggers import WakeUps
from pipeline_engine.app import App
from pipeline_engine.errors import ConfigError
from pipeline_engine.lanes import LaneStats
from pipeline_engine.settings import Settings

SHUTDOWN_TIMEOUT = 3
"""Seconds that requests under way get at the end."""

log = logs.get(__name__)


class _Server(uvicorn.Server):
    """Leaves signals to the process, which stops the server in its turn."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(
    app: App,
    wake_ups: WakeUps,
    is_stopping: Callable[[], bool] = lambda: False,
    lane_stats: Callable[[], Mapping[str, LaneStats]] = dict,
) -> AsyncIterator[str]:
    """Serve as long as the context lasts; yields the address.

    `is_stopping`: whether the process drains. `lane_stats`: the figures of the lanes that it works on.

    Raises: ConfigError naming APP_SECRET when it is missing, HTTP_HOST and HTTP_PORT when the port cannot be opened.
    """
    if app.tokens is None:
        raise ConfigError("APP_SECRET: not given: HTTP_ENABLED and `serve` need it to check the tokens of requests")
    listener = _listener(app.settings)
    server = _Server(
        uvicorn.Config(
            site(app, app.tokens, wake_ups, is_stopping, lane_stats),
            http=Connection,
            ws="none",
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        )
    )
    serving = asyncio.create_task(server.serve([listener]), name="http")
    serving.add_done_callback(_log_failure)
    address = f"http://{app.settings.http_host}:{listener.getsockname()[1]}"
    log.info("http.started", address=address)
    try:
        yield address
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _log_failure(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()):
        log.error("http.failed", error=f"{type(error).__name__}: {error}")


def _listener(settings: Settings) -> socket.socket:
    address = settings.http_host, settings.http_port
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        given = f"{address[0]} and {address[1]}"
        raise ConfigError(f"HTTP_HOST, HTTP_PORT: given {given}: cannot listen there: {error.strerror}") from None
