"""Reads SMTP_URL and SMTP_FROM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formataddr, parseaddr
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from pipeline_engine.errors import ConfigError, Permanent
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.public_host import PublicHosts

SCHEMES = ("smtp", "smtps", "smtp+starttls")


@dataclass(frozen=True)
class SmtpServer:
    """Where the mail server is. `tls`: encrypted from the first byte; `starttls`: encrypted before the login."""

    host: str
    port: int | None  # None: the default, 25, 465 (tls) or 587 (starttls)
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    starttls: bool
    token: Callable[[], Awaitable[str]] | None = None
    """Returns an access token for XOAUTH2, which then takes the place of the password."""
    hosts: PublicHosts | None = None
    """Given where a tenant has named the host: only checked addresses of it are connected to."""
    ca_file: str | None = None
    """Certificates (PEM) that are trusted besides the system's."""


@dataclass(frozen=True)
class Sender:
    """The address that mails come from. `header` is the value of `From`, in ASCII."""

    address: str
    header: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def read_smtp_url(url: str) -> SmtpServer:
    """The server that SMTP_URL names. Raises: ConfigError that says what is wrong and does not quote the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        _refuse("its host or port is not valid")
    if parts.scheme not in SCHEMES:
        _refuse("must start with " + " or ".join(f"{scheme}://" for scheme in SCHEMES))
    if not host:
        _refuse("names no host")
    return SmtpServer(
        host=host,
        port=port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp+starttls",
    )


def read_sender(text: str) -> Sender:
    """Read `name@domain` or `Some Name <name@domain>`. Raises: ConfigError naming SMTP_FROM."""
    name, address = parseaddr(text)
    try:
        address = read_email_address(address)
    except Permanent:
        raise ConfigError(f"SMTP_FROM: given {text!r}: must be an address, or a name and <an address>") from None
    return Sender(address, formataddr((name, address)))


def _refuse(reason: str) -> NoReturn:
    raise ConfigError(f"SMTP_URL: given (not shown): {reason}")


def default_port(server: SmtpServer) -> int:
    """The server's port, or the usual one of its encryption."""
    return server.port or (465 if server.tls else 587 if server.starttls else 25)
