"""Sends events to users through the General Socket service. Its absence neither delays nor fails any work."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self

from socketio.exceptions import BadNamespaceError
from socketio.exceptions import TimeoutError as NotAcknowledged

from pipeline_engine import logs
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.socket_client import SocketClient
from pipeline_engine.providers.tokens import ServiceTokens

ANSWER_TIMEOUT = 5.0  # for connecting, and again for an acknowledgement
MIN_RECONNECT_SECONDS, MAX_RECONNECT_SECONDS = 0.5, 30.0  # from one attempt to connect to the next; doubles
MAX_UNACKNOWLEDGED = 3  # events in a row after which the connection counts as dead

MAX_EVENT_BYTES = 500_000
"""Socket.IO servers close the connection on a message of more than 1 MB, and other events are lost with it."""

log = logs.get(__name__)


class Delivery(Enum):
    """The outcome of an event. It is true when the service has acknowledged the event."""

    ACKNOWLEDGED = "acknowledged"
    UNHEARD = "unheard"  # sent without acknowledgement: it may have arrived
    UNSENT = "unsent"  # the service does not answer

    def __bool__(self) -> bool:
        return self is Delivery.ACKNOWLEDGED


class Sockets(Protocol):
    """Sends events to users."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        """Send one event to some users. `data` is plain JSON; a repeat has the same `event_id`."""
        ...


class LoggedSockets:
    """Without a socket service: logs each event and counts it as delivered."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        return None

    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        log.info("sockets.event_logged", name=name, event_id=event_id, users=len(list(user_ids)), fields=sorted(data))
        return Delivery.ACKNOWLEDGED


class SocketService:
    """The service at SOCKET_URL, over one connection, which is opened with a new token when an event needs it."""

    def __init__(self, url: str, path: str, tokens: ServiceTokens, timeout: float = ANSWER_TIMEOUT) -> None:
        """`timeout`: the seconds that connecting, and then an acknowledgement, may take."""
        self._url, self._path, self._tokens, self._timeout = url, path, tokens, timeout
        self._client: SocketClient | None = None
        self._connecting = asyncio.Lock()
        self._reconnect_seconds = MIN_RECONNECT_SECONDS
        self._not_before = 0.0
        self._unacknowledged = 0
        self._left = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        async with self._connecting:  # what a job is connecting at this moment is closed as well
            self._left = True
            await self._drop()

    @failpoint("sockets.emit")
    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        """Send one event and wait for its acknowledgement, at most twice the time-out in all.

        Raises: TypeError for data that is no JSON, ValueError for more than MAX_EVENT_BYTES of it.
        """
        client = await self._connected()
        if client is None:
            return Delivery.UNSENT
        argument = {"event_id": event_id, "user_ids": [str(user) for user in user_ids], "data": dict(data)}
        _check_size(argument)
        try:
            await client.call(name, argument, self._timeout)
        except BadNamespaceError:  # disconnected since the check
            return Delivery.UNSENT
        except NotAcknowledged:
            await self._count_unacknowledged(client, name, event_id)
            return Delivery.UNHEARD
        self._acknowledged()
        return Delivery.ACKNOWLEDGED

    async def _connected(self) -> SocketClient | None:
        async with self._connecting:
            if self._client and self._client.alive:
                return self._client
            if self._left or time.monotonic() < self._not_before:
                return None
            # Only an acknowledgement resets the wait: a service may accept and drop connections all day.
            self._not_before = time.monotonic() + self._reconnect_seconds
            self._reconnect_seconds = min(self._reconnect_seconds * 2, MAX_RECONNECT_SECONDS)
            await self._drop()
            self._client = await self._connect()
            return self._client

    async def _connect(self) -> SocketClient | None:
        try:
            async with failpoint("sockets.connect"):
                return await SocketClient.connect(self._url, self._path, self._tokens.for_service(), self._timeout)
        except Exception as failure:  # the library raises errors of any type for malformed answers
            log.warning(
                "sockets.connect_failed",
                reason=f"{type(failure).__name__}: {failure}",
                again_in=self._reconnect_seconds,
            )
            return None

    def _acknowledged(self) -> None:
        self._unacknowledged, self._reconnect_seconds, self._not_before = 0, MIN_RECONNECT_SECONDS, 0.0

    async def _count_unacknowledged(self, client: SocketClient, name: str, event_id: str) -> None:
        log.info("sockets.event_unacknowledged", name=name, event_id=event_id)
        self._unacknowledged += 1
        if self._unacknowledged >= MAX_UNACKNOWLEDGED and client is self._client:
            self._unacknowledged = 0
            await self._drop()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.close()


def _check_size(argument: Mapping[str, Any]) -> None:
    if (size := len(json.dumps(argument))) > MAX_EVENT_BYTES:
        raise ValueError(f"the event has {size} bytes; the socket service takes at most {MAX_EVENT_BYTES}")
