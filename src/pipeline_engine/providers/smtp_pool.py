"""Connections to the mail server: a few, opened when they are needed and kept for the next mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.smtp_server import SmtpServer

LONGEST_IDLE = 30.0  # seconds; many servers hang up after a minute or more
GOODBYE = 1.0  # seconds that the server gets to answer QUIT

BROKEN = (SMTPException, OSError)
"""Everything that aiosmtplib lets out when a call fails; a time-out is an OSError."""


class SmtpPool:
    """At most `size` connections at a time: `async with SmtpPool(...) as pool`."""

    def __init__(self, server: SmtpServer, size: int, patience: float) -> None:
        """`patience`: the seconds that connecting, and then each answer, may take."""
        self._server = server
        self._patience = patience
        self._places = asyncio.Semaphore(size)
        self._idle: list[tuple[SMTP, float]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_hang_up(client) for client, _ in idle))

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
            except BaseException:  # broken, or cancelled in mid-dialogue: its next answer would be to an old question
                client.close()
                raise
            self._keep(client)

    async def _resumed(self, sender: str) -> SMTP | None:
        """A connection from an earlier mail. The server may have hung up meanwhile: then a new one will do as well,
        because nothing was sent yet."""
        while self._idle:
            client, since = self._idle.pop()
            if not client.is_connected or time.monotonic() - since > LONGEST_IDLE:
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
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.starttls,
            timeout=self._patience,
        )
        try:
            async with asyncio.timeout(self._patience), failpoint("smtp.connect"):
                await client.connect()
                await client.mail(sender)
        except BaseException:
            client.close()
            raise
        return client

    async def _reset(self, client: SMTP) -> None:
        """The server said no to this mail; the next one starts anew."""
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


async def _hang_up(client: SMTP) -> None:
    with suppress(*BROKEN):
        await client.quit(timeout=GOODBYE)
    client.close()
