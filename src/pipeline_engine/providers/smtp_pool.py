"""A small pool of connections to the mail server, opened when needed and kept for the next mail."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.providers.smtp_server import SmtpServer, default_port

MAX_IDLE_SECONDS = 30.0  # many servers close an idle connection after a minute or more
QUIT_TIMEOUT = 1.0

BROKEN = (SMTPException, OSError)
"""Everything that a failed call of aiosmtplib raises; a time-out is an OSError."""


class SmtpPool:
    """At most `size` connections at a time: `async with SmtpPool(...) as pool`."""

    def __init__(self, server: SmtpServer, size: int, timeout: float) -> None:
        """`timeout`: the seconds that connecting, and then each answer, may take."""
        self._server = server
        self._timeout = timeout
        self._places = asyncio.Semaphore(size)
        self._idle: list[tuple[SMTP, float]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(client) for client, _ in idle))

    @asynccontextmanager
    async def lend(self, sender: str) -> AsyncIterator[SMTP]:
        """A connection on which the server has accepted the sender. Raises: what aiosmtplib raises."""
        async with self._places:
            client = await self._resumed(sender) or await self._connected(sender)
            try:
                yield client
            except SMTPResponseException:
                await self._reset(client)
                raise
            except BaseException:  # broken or cancelled: its next answer would belong to an earlier command
                client.close()
                raise
            self._keep(client)

    async def _resumed(self, sender: str) -> SMTP | None:
        """A kept connection, or None. If the server has closed it, a new one serves: nothing was sent yet."""
        while self._idle:
            client, since = self._idle.pop()
            if not client.is_connected or time.monotonic() - since > MAX_IDLE_SECONDS:
                client.close()
                continue
            try:
                await client.mail(sender)
            except BaseException as failure:
                client.close()
                if not isinstance(failure, BROKEN):
                    raise
                return None
            return client
        return None

    async def _connected(self, sender: str) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=None if server.hosts else server.port,
            username=server.user,
            password=None if server.token else server.password,
            oauth_token_generator=server.token,
            use_tls=server.tls,
            start_tls=server.starttls,
            cert_bundle=server.ca_file,
            timeout=self._timeout,
        )
        try:
            async with asyncio.timeout(self._timeout), failpoint("smtp.connect"):
                if server.hosts:
                    await client.connect(sock=await _checked_socket(server, server.hosts))
                else:
                    await client.connect()
                await client.mail(sender)
        except BaseException:
            client.close()
            raise
        return client

    async def _reset(self, client: SMTP) -> None:
        """After a refused mail, make the connection ready for the next one."""
        try:
            await client.rset()
        except BaseException as failure:
            client.close()
            if not isinstance(failure, BROKEN):
                raise
        else:
            self._keep(client)

    def _keep(self, client: SMTP) -> None:
        self._idle.append((client, time.monotonic()))


async def _checked_socket(server: SmtpServer, hosts: PublicHosts) -> socket.socket:
    """A connection to the first address of the host that takes one. Raises: as `PublicHosts.resolve`; OSError."""
    failure: OSError = OSError(f"{server.host} has no address that can be connected to")
    for family, kind, protocol, _, where in await hosts.resolve(server.host, default_port(server)):
        found = socket.socket(family, kind, protocol)
        found.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(found, where)
        except OSError as error:
            found.close()
            failure = error
        except BaseException:
            found.close()
            raise
        else:
            return found
    raise failure


async def _quit(client: SMTP) -> None:
    with suppress(*BROKEN):
        await client.quit(timeout=QUIT_TIMEOUT)
    client.close()
