"""Listens at HTTP_HOST and HTTP_PORT."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline_engine import logs
from pipeline_engine.admin.site import site
from pipeline_engine.admin.triggers import Pokes
from pipeline_engine.app import App
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings import Settings

GRACE = 3
"""Seconds that requests under way get at the end."""
PATIENCE = 5.0
"""Seconds in which a connection has to ask for something."""
MOST_AT_ONCE = 100

log = logs.get(__name__)


class _Server(uvicorn.Server):
    """Signals are for the process, which stops the server in its turn."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """Whoever connects and says nothing, or says it byte by byte, keeps nobody else out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if not self.cycle:
            self.transport.close()


@asynccontextmanager
async def listening(app: App, pokes: Pokes) -> AsyncIterator[str]:
    """Serve as long as the context lasts; yields the address.

    Raises: ConfigError naming APP_SECRET when it is missing, HTTP_HOST and HTTP_PORT when nobody may listen there.
    """
    if app.tokens is None:
        raise ConfigError("APP_SECRET: given nothing: without it nobody could prove who asks over HTTP")
    door = _door(app.settings)
    config = uvicorn.Config(
        site(app, app.tokens, pokes),
        http=_Protocol,
        ws="none",
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
    serving.add_done_callback(_say_how_it_ended)
    address = f"http://{app.settings.http_host}:{door.getsockname()[1]}"
    log.info("listening", address=address)
    try:
        yield address
    finally:
        server.should_exit = True
        await serving
        door.close()


def _say_how_it_ended(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()):
        log.error("nobody listens any more", error=f"{type(error).__name__}: {error}")


def _door(settings: Settings) -> socket.socket:
    place = settings.http_host, settings.http_port
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server(place, family=family)
    except OSError as error:
        given = f"{place[0]} and {place[1]}"
        raise ConfigError(f"HTTP_HOST, HTTP_PORT: given {given}: cannot listen there: {error.strerror}") from None
