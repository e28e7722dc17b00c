"""Connections to URLs that tenants name: https only, public addresses only (see `public_host`).

The address is checked when the name is resolved, and again when the socket is made.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientConnectorError, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pipeline_engine.errors import Permanent
from pipeline_engine.providers.public_host import PublicHosts

MAX_URL_CHARS = 2048


def public_connector(hosts: PublicHosts) -> TCPConnector:
    """A connector that reaches public addresses only. It must be made inside the event loop."""

    def checked_socket(address: tuple[Any, ...]) -> socket.socket:
        """The last check: whatever the URL says and the resolver returned, this is what will be connected to."""
        family, type, protocol, _, where = address
        try:
            hosts.check(str(where[0]))
        except Permanent as refusal:
            raise _Refused(errno.EACCES, str(refusal)) from None
        return socket.socket(family, type, protocol)

    # No limit on connections: callers limit them. Without the cache, each connection goes to what was checked for it.
    return TCPConnector(
        limit=0,
        use_dns_cache=False,
        resolver=_Resolver(hosts),
        happy_eyeballs_delay=None,
        socket_factory=checked_socket,
    )


def refusal_of(failure: BaseException) -> str | None:
    """Why the connector refused the address; None when the failure is another one."""
    if isinstance(failure, ClientConnectorError) and isinstance(failure.os_error, _Refused):
        return str(failure.os_error.strerror)
    return None


class _Refused(OSError):
    """What aiohttp gets when it may not connect to an address: it passes no other kind of error on."""


class _Resolver(AbstractResolver):
    def __init__(self, hosts: PublicHosts) -> None:
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=_numeric(where), port=port, family=kind, proto=0, flags=0)
            for kind, _, _, _, where in await self._hosts.resolve(host, port, family)
        ]

    async def close(self) -> None:
        """The client closes the hosts."""


def _numeric(where: Sequence[Any]) -> str:
    return str(where[0])


def read_url(url: object, allow_private: bool) -> URL:
    """The URL of an endpoint. Raises: Permanent `url`, which does not quote it."""
    if not isinstance(url, str) or not url or len(url) > MAX_URL_CHARS or not url.isprintable():
        raise Permanent(f"its url is not a text of 1 to {MAX_URL_CHARS} printable characters", "url")
    try:
        found = URL(url)
        port = found.port
    except (ValueError, TypeError):
        raise Permanent("its url is not valid", "url") from None
    schemes = ("https", "http") if allow_private else ("https",)
    if found.scheme not in schemes:
        raise Permanent(f"its url must begin with {' or '.join(f'{one}://' for one in schemes)}", "url")
    if not found.host or port is None or not 0 < port < 65536:
        raise Permanent("its url names no host, or a port that is none", "url")
    if found.user is not None or found.password is not None:
        raise Permanent("its url must not hold a user or password", "url")
    return found
