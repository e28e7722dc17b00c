"""One HTTP connection that costs others nothing, however slow, silent or numerous its client is."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline_engine.admin.access import CLOSE, Refusal, response_to

REQUEST_TIMEOUT = 5.0
"""Seconds in which a connection must send a whole request, head and body, from its start or the last response."""
SLOW_BODY = "slow_body"
"""In the `state` of a request: its route takes a body for which REQUEST_TIMEOUT is too short."""
SLOW_SECONDS = 30.0
MIN_SLOW_BYTES = 256 * 1024
"""What such a body must bring in each SLOW_SECONDS: under 9 kB a second, pauses included, and yet no drip."""
LINGER_SECONDS = 1.0
"""How long a closed connection waits for its client to read the response and close as well."""
MAX_DISCARDED_BYTES = 256 * 1024
"""What a closed connection still takes meanwhile: unread bytes would make the kernel reset it, response and all."""
MAX_CONNECTIONS = 100
MAX_CONNECTIONS_PER_ADDRESS = 20

RECEIVED = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
"""The client's states once its request is complete."""


class Connection(H11Protocol):
    """uvicorn's protocol with a deadline for requests, limits of connections, and errors as JSON."""

    lingering: ClassVar[set[Connection]] = set()
    """Connections beyond a limit, which count no more but are still open."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Lingering(transport, self.loop))  # type: ignore[arg-type]
        self._deadline: asyncio.TimerHandle | None = None
        self._discarded = self._brought = self._least = 0
        if refusal := self._excess():
            self.connections.discard(self)
            if len(self.lingering) >= MAX_CONNECTIONS:
                transport.abort()
                return
            self.lingering.add(self)
            self._refuse(refusal)
            return
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lingering.discard(self)
        if self._deadline:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self._brought += len(data)
            super().data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED_BYTES:
            self.transport.pause_reading()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._least = 0
        self._set_deadline()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; once a response has begun, only the end of the connection can say so."""
        if self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "bad_request", msg))

    def _excess(self) -> Refusal | None:
        if len(self.connections) > MAX_CONNECTIONS:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "there are too many connections: try again")
        clients = [getattr(one, "client", None) or ("",) for one in self.connections]
        if [host for host, *_ in clients].count((self.client or ("",))[0]) > MAX_CONNECTIONS_PER_ADDRESS:
            limit = f"an address has at most {MAX_CONNECTIONS_PER_ADDRESS} connections"
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too_many_connections", limit)
        return None

    def _set_deadline(self, seconds: float | None = None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds or REQUEST_TIMEOUT, self._end_if_incomplete)

    def _end_if_incomplete(self) -> None:
        if self.transport.is_closing() or self.conn.their_state in RECEIVED:
            return
        if self._is_slow_body():
            if self._goes_on():
                self._set_deadline(SLOW_SECONDS)
                return
            limit = f"the body must bring at least {MIN_SLOW_BYTES} bytes in each {SLOW_SECONDS:g} s"
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", limit))
            return
        begun = self.conn.trailing_data[0] or self.conn.their_state is h11.SEND_BODY
        if begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # there was no response to it
            limit = f"a request must be complete within {REQUEST_TIMEOUT:g} s"
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", limit))
        else:
            self.transport.close()

    def _is_slow_body(self) -> bool:
        awaited = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.SEND_RESPONSE
        return awaited and bool(self.scope["state"].get(SLOW_BODY))

    def _goes_on(self) -> bool:
        """Whether enough came since the last look. The first look asks for nothing yet, and while reading is paused it
        is the route that is slow."""
        enough = self._brought >= self._least or self.flow.read_paused
        self._brought, self._least = 0, MIN_SLOW_BYTES
        return enough

    def _refuse(self, refusal: Refusal) -> None:
        """Write the response past h11, which in a failed state sends none, and close."""
        response, status = response_to(refusal), HTTPStatus(refusal.status_code)
        headers = [*response.raw_headers, *((name.encode(), value.encode()) for name, value in CLOSE.items())]
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b": ".join(one) for one in headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()
        if self.cycle:  # its route waits for the rest of the body, or is about to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()


class _Lingering:
    """A transport whose `close` ends only our side at first, so that the client can read what was written."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closed or self._transport.is_closing()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)
