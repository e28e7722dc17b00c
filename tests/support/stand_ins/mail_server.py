"""A mail server on loopback (aiosmtpd) with users that log in, and receivers that do not exist."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Received:
    """One mail as it came; `user` is who had logged in."""

    user: str
    sender: str
    to: str
    raw: bytes


class MailServer:
    """`async with MailServer() as server`."""

    def __init__(self) -> None:
        self.port = 0
        self.passwords: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        """{user: access token}, for XOAUTH2."""
        self.unknown: set[str] = set()
        """Receivers that are refused for good."""
        self.busy: Counter[str] = Counter()
        """{receiver: how often it is refused for now}"""
        self.seconds = 0.0
        """How long it takes before it takes a mail."""
        self.received: list[Received] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()

    def _protocol(self) -> SMTP:
        return SMTP(self, hostname="mail.example", authenticator=self._login, auth_require_tls=False)

    def _login(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        user = given.login.decode()
        is_known = self.passwords.get(user) == given.password.decode()
        return AuthResult(success=is_known, handled=False, auth_data=user)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name
        user, token = (part.partition("=")[2] for part in base64.b64decode(args[1]).decode().split("\x01")[:2])
        is_known = bool(token) and token == f"Bearer {self.tokens.get(user)}"
        return AuthResult(success=is_known, handled=False, auth_data=user)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 no such user here"
        if self.busy[address]:
            self.busy[address] -= 1
            return "451 4.3.0 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.seconds)
        content = envelope.content
        assert isinstance(content, bytes)
        user = str(session.auth_data or "")
        self.received.append(Received(user, str(envelope.mail_from), envelope.rcpt_tos[0], content))
        return "250 OK"
