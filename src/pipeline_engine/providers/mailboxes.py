"""Opens mailboxes of tenants: only on the public internet, with verified TLS, in a bounded pool of threads."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from pipeline_engine.errors import ConfigError
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.imap_connection import ImapConnection, Wire
from pipeline_engine.providers.mailbox import Mailbox, in_thread
from pipeline_engine.providers.mailbox_server import MailboxLogin, MailboxServer
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.settings import Settings

MAX_THREADS = 24
"""More than the places of the lanes that open mailboxes, so that none waits for a thread."""
CALL_TIMEOUTS = 4
"""A call may take so many times what the server may be silent: a large answer over a slow line is no hang."""


class Mailboxes:
    """`async with Mailboxes(...) as mailboxes`; then `async with mailboxes.open(server, login) as mailbox`."""

    def __init__(self, allow_private: bool, ca_file: str | None, timeout: float) -> None:
        """`timeout`: seconds that a server may be silent. Raises: ConfigError when MAIL_CA_FILE cannot be read."""
        self.allow_private = allow_private
        self._hosts = PublicHosts(allow_private)
        self._context = _context(ca_file)
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="mailbox")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say. Raises: ConfigError."""
        return cls(settings.allow_private_hosts, settings.mail_ca_file, settings.mail_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._hosts.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def open(self, server: MailboxServer, login: MailboxLogin) -> AsyncIterator[Mailbox]:
        """The mailbox, logged in; it is logged out behind the block.

        Raises: Permanent `private_host`, `mailbox_tls`, `mailbox_login`; Transient when the server is not reached.
        """
        addresses = await self._hosts.resolve(server.host, server.port)
        wire, limit = Wire(), self._timeout * CALL_TIMEOUTS

        def connected() -> ImapConnection:
            connection = ImapConnection(server, addresses, self._context, wire, self._timeout)
            try:
                connection.log_in(server.username, login)
            except BaseException:
                connection.drop()
                raise
            return connection

        async with failpoint("imap.connect"):
            connection = await in_thread(self._threads, wire, limit, connected)
        mailbox = Mailbox(connection, wire, self._threads, limit)
        try:
            yield mailbox
        finally:
            await mailbox.close()


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"MAIL_CA_FILE: given {ca_file!r}: cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
