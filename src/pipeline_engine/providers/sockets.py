"""Events to users, through the General Socket service. Its absence never holds work up and never fails it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self

from socketio.exceptions import BadNamespaceError
from socketio.exceptions import TimeoutError as Unheard

from pipeline_engine import logs
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.socket_client import SocketClient
from pipeline_engine.providers.tokens import ServiceTokens

PATIENCE = 5.0  # seconds for connecting, and again for an acknowledgement
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds from one attempt to connect to the next; doubles
UNHEARD_LIMIT = 3  # unacknowledged events in a row after which the connection counts as dead

log = logs.get(__name__)


class Delivery(Enum):
    """What became of an event. True when the service has it for certain."""

    ACKNOWLEDGED = "acknowledged"
    UNHEARD = "unheard"  # sent, but nobody acknowledged it: it may have arrived
    UNSENT = "unsent"  # the service is away

    def __bool__(self) -> bool:
        return self is Delivery.ACKNOWLEDGED


class Sockets(Protocol):
    """Where events to users go."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        """Send one event to some users. `data` is plain JSON; `event_id` is the same whenever it is sent again."""
        ...


class LoggedSockets:
    """Without a socket service events stand in the log and count as delivered."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        return None

    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        log.info("sockets.event", name=name, event_id=event_id, users=len(list(user_ids)), fields=sorted(data))
        return Delivery.ACKNOWLEDGED


class SocketService:
    """The service at SOCKET_URL, over one connection that is made when an event needs it, with a fresh token."""

    def __init__(self, url: str, path: str, tokens: ServiceTokens, patience: float = PATIENCE) -> None:
        """`patience`: the seconds that connecting, and then an acknowledgement, may take."""
        self._url, self._path, self._tokens, self._patience = url, path, tokens, patience
        self._client: SocketClient | None = None
        self._connecting = asyncio.Lock()
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._unheard = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._drop()

    @failpoint("sockets.emit")
    async def emit(self, name: str, event_id: str, user_ids: Iterable[object], data: Mapping[str, Any]) -> Delivery:
        """Send one event and wait for its acknowledgement, for at most twice the patience."""
        client = await self._connected()
        if client is None:
            return Delivery.UNSENT
        argument = {"event_id": event_id, "user_ids": [str(user) for user in user_ids], "data": dict(data)}
        try:
            await client.call(name, argument, self._patience)
        except BadNamespaceError:  # cut off since we looked
            return Delivery.UNSENT
        except Unheard:
            await self._note_unheard(client, name, event_id)
            return Delivery.UNHEARD
        self._note_heard()
        return Delivery.ACKNOWLEDGED

    async def _connected(self) -> SocketClient | None:
        async with self._connecting:
            if self._client and self._client.alive:
                return self._client
            if time.monotonic() < self._not_before:
                return None
            # Only an acknowledgement shortens the pause again: a service may let us in and throw us out all day.
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            await self._drop()
            self._client = await self._connect()
            return self._client

    async def _connect(self) -> SocketClient | None:
        try:
            async with failpoint("sockets.connect"):
                return await SocketClient.connect(self._url, self._path, self._tokens.for_service(), self._patience)
        except Exception as failure:  # the library lets out whatever a strange answer makes it stumble over
            log.warning("sockets.away", reason=f"{type(failure).__name__}: {failure}", again_in=self._pause)
            return None

    def _note_heard(self) -> None:
        self._unheard, self._pause, self._not_before = 0, FIRST_PAUSE, 0.0

    async def _note_unheard(self, client: SocketClient, name: str, event_id: str) -> None:
        log.info("sockets.unheard", name=name, event_id=event_id)
        self._unheard += 1
        if self._unheard >= UNHEARD_LIMIT and client is self._client:
            self._unheard = 0
            await self._drop()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.close()
