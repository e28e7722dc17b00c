"""Where a mailbox is and how to log in: read from the document of an `email_accounts` entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_engine.errors import Permanent

SETTINGS = "mailbox_settings"
"""The error code of a mailbox whose document does not say where it is."""
SECURITIES = {"tls": 993, "starttls": 143, "none": 143}
"""{security: the port where the document names none}."""
DEFAULT_HOSTS = {"gmail": "imap.gmail.com", "outlook": "outlook.office365.com"}
MAX_PORT = 65_535


@dataclass(frozen=True)
class MailboxServer:
    """The server and the mailbox's user on it; `security` is tls, starttls or none."""

    host: str
    port: int
    security: str
    username: str


@dataclass(frozen=True)
class MailboxLogin:
    """What proves who the user is: a password, or an access token for XOAUTH2. Never log it."""

    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def read_server(document: Mapping[str, Any], allow_plain: bool) -> MailboxServer:
    """The server of the mailbox. Raises: Permanent SETTINGS that says what is wrong; plain connections only with
    `allow_plain`, as the password would cross the network."""
    host = document.get("host") or DEFAULT_HOSTS.get(str(document.get("provider")))
    security = document.get("security") or "tls"
    if not isinstance(host, str) or not host.strip():
        raise Permanent("the mailbox names no host", SETTINGS)
    if not isinstance(security, str) or security not in SECURITIES:
        raise Permanent("its security is none of tls, starttls and none", SETTINGS)
    if security == "none" and not allow_plain:
        raise Permanent("its security is none, which is refused unless ALLOW_PRIVATE_HOSTS is set", SETTINGS)
    username = document.get("username")
    if not isinstance(username, str) or not username.isprintable() or not username:
        raise Permanent("the mailbox has no username", SETTINGS)
    return MailboxServer(host.strip(), _port(document.get("port"), SECURITIES[security]), security, username)


def _port(port: object, default: int) -> int:
    if port is None or port == "":
        return default
    try:
        number = int(str(port).removesuffix(".0"))  # some clients store every number as a double
    except ValueError:
        number = 0
    if not 0 < number <= MAX_PORT:
        raise Permanent("its port is no number from 1 to 65535", SETTINGS)
    return number
