"""Sends mails by SMTP."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from aiosmtplib import SMTPException, SMTPResponseException

from pipeline_engine import logs
from pipeline_engine.errors import EngineError, Permanent, SenderRefused, Transient, Unknown
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.email_message import Mail, write_message
from pipeline_engine.providers.replies import quote_reply
from pipeline_engine.providers.smtp_pool import BROKEN, SmtpPool
from pipeline_engine.providers.smtp_refusal import refusal
from pipeline_engine.providers.smtp_server import Sender, SmtpServer, read_sender, read_smtp_url

MAX_CONNECTIONS = 5
ANSWER_TIMEOUT = 20.0


class Mailer:
    """The mail server at SMTP_URL: `async with Mailer(url, sender) as mailer`. It connects for the first mail."""

    def __init__(
        self, url: str | None, sender: str | None, connections: int = MAX_CONNECTIONS, timeout: float = ANSWER_TIMEOUT
    ) -> None:
        """`timeout`: the seconds that connecting, and then each answer, may take.

        Raises: ConfigError naming SMTP_URL or SMTP_FROM when it is given and malformed.
        """
        self._pool = SmtpPool(_server(url), connections, timeout) if url else None
        self._sender = read_sender(sender) if sender else None
        self._open = AsyncExitStack()

    @classmethod
    def of_mailbox(cls, server: SmtpServer, sender: Sender, connections: int) -> Self:
        """The mail server of a tenant's mailbox, from which mails come as the mailbox's own."""
        mailer = cls(None, None)
        mailer._pool, mailer._sender = SmtpPool(server, connections, ANSWER_TIMEOUT), sender
        return mailer

    async def __aenter__(self) -> Self:
        if self._pool:
            await self._open.enter_async_context(self._pool)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def send(self, mail: Mail, key: str, ready: Callable[[], Awaitable[None]] | None = None) -> str:
        """Hand the mail to the server. Returns its Message-ID; equal keys give equal Message-IDs.

        The server learns sender and recipient at once, and the mail itself when `ready` has returned.

        Raises: Permanent when the server refuses the mail for good or a setting is missing, SenderRefused when it takes
        no mail of ours; Transient when the mail was certainly not sent; Unknown when the connection ended after the
        server had the mail; what `ready` raises.
        """
        pool, sender = self._configured()
        recipient = read_email_address(mail.to)
        message = self.written(mail, key)
        handed_over = False
        try:
            async with pool.lend(sender.address) as client:
                await client.rcpt(recipient)
                if ready:
                    await ready()
                handed_over = True
                async with failpoint("smtp.data"):
                    await client.data(message)
        except (*BROKEN, Transient) as failure:
            sent = (mail.to, recipient, mail.subject, mail.text, mail.html or "", message.decode(errors="replace"))
            raise engine_error(failure, handed_over, sent) from None
        return self.message_id(key)

    def written(self, mail: Mail, key: str) -> bytes:
        """The mail as it is handed to the server. Raises: Permanent when it cannot be written."""
        _, sender = self._configured()
        return write_message(mail, sender.header, self.message_id(key), datetime.now(UTC))

    @property
    def address(self) -> str | None:
        """The address of SMTP_FROM, which mails come from; None without one."""
        return self._sender.address if self._sender else None

    def message_id(self, key: str) -> str:
        """The Message-ID of the mail that is sent under this key. Raises: Permanent when a setting is missing."""
        _, sender = self._configured()
        return f"<{_dot_atom(key)}@{sender.domain}>"

    def _configured(self) -> tuple[SmtpPool, Sender]:
        if self._pool is None:
            raise Permanent("SMTP_URL is not set, so no e-mail can be sent", "smtp_unset")
        if self._sender is None:
            raise Permanent("SMTP_FROM is not set, so no e-mail can be sent", "smtp_unset")
        return self._pool, self._sender


def engine_error(failure: Exception, handed_over: bool, sent: Sequence[str] = ()) -> EngineError:
    """The failure as an error of the engine's tree, without quoting what was `sent`.

    `handed_over`: the server may have the whole mail.
    """
    if isinstance(failure, SMTPResponseException):
        answer = f"{failure.code} {quote_reply(failure.message, sent)}"
        if 500 <= failure.code < 600:
            return refusal(failure, f"the mail server refuses: {answer}")
        if 400 <= failure.code < 500:
            return Transient(f"the mail server says: {answer}")
    reason = quote_reply(str(failure) or type(failure).__name__, sent)
    if handed_over:
        return Unknown(f"the mail server had the mail and did not answer: {reason}")
    if isinstance(failure, SMTPException) and not isinstance(failure, OSError):
        # The server answers, but not as SMTP_URL says: it has no STARTTLS, or no login that we know.
        return SenderRefused(f"the mail server cannot be used as SMTP_URL says: {reason}", "smtp_unfit")
    return Transient(f"the mail server is away: {reason}")


def _server(url: str) -> SmtpServer:
    server = read_smtp_url(url)
    login = f"\0{server.user}\0{server.password}"
    logs.hide_secrets(server.password or "", b64encode(login.encode()).decode() if server.password else "")
    return server


def _dot_atom(key: str) -> str:
    """A unit key as the left half of a Message-ID, in which a colon is not allowed and looks like spam to filters."""
    return key.replace(":", ".")
