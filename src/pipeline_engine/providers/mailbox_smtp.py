"""Reads the SMTP settings of a mailbox (`email_accounts.smtp`), which a tenant has written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from email.utils import formataddr
from typing import Any

from pipeline_engine import logs
from pipeline_engine.errors import Permanent
from pipeline_engine.providers.email_address import read_email_address
from pipeline_engine.providers.public_host import PublicHosts
from pipeline_engine.providers.smtp_server import Sender, SmtpServer

SECURITIES = ("tls", "starttls", "none")
BAD_MAILBOX = "bad_mailbox"
MAX_PORT = 65535


def mailbox_server(
    mailbox: Mapping[str, Any],
    password: str,
    token: Callable[[], Awaitable[str]] | None,
    hosts: PublicHosts,
    ca_file: str | None = None,
) -> SmtpServer:
    """The server through which the mailbox sends. `token`: for XOAUTH2, in place of the password.

    Raises: Permanent BAD_MAILBOX that names what is wrong.
    """
    smtp = mailbox.get("smtp")
    if not isinstance(smtp, Mapping) or not isinstance(smtp.get("host"), str) or not smtp["host"]:
        raise Permanent("smtp.host: the name of a server is wanted", BAD_MAILBOX)
    security, port = smtp.get("security") or "starttls", smtp.get("port")
    if security not in SECURITIES:
        raise Permanent(f"smtp.security: one of {', '.join(SECURITIES)} is wanted", BAD_MAILBOX)
    if security == "none" and not hosts.allow_private:
        raise Permanent("smtp.security: none is refused unless ALLOW_PRIVATE_HOSTS is set", BAD_MAILBOX)
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= MAX_PORT):
        raise Permanent(f"smtp.port: a number from 1 to {MAX_PORT} is wanted", BAD_MAILBOX)
    logs.hide_secrets(password)
    return SmtpServer(
        host=smtp["host"],
        port=port,
        user=str(mailbox.get("username") or "") if password or token else None,
        password=password or None,
        tls=security == "tls",
        starttls=security == "starttls",
        token=token,
        hosts=hosts,
        ca_file=ca_file,
    )


def mailbox_sender(mailbox: Mapping[str, Any]) -> Sender:
    """The mailbox's address as the sender, with its `name` where it has one. Raises: Permanent BAD_MAILBOX."""
    try:
        address = read_email_address(mailbox.get("username"))
    except Permanent:
        raise Permanent("username: the address of the mailbox is wanted", BAD_MAILBOX) from None
    name = mailbox.get("name")
    return Sender(address, formataddr((name if isinstance(name, str) else "", address)))
