"""Redis behind Sentinels, which say where the primary is: `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME/DB`.

USER, PASSWORD, the ports (26379) and DB (0) may be left out; `rediss+sentinel://` turns TLS on. User and password are
those of the primary; Sentinels are asked without any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import redis as blocking
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.sentinel import Sentinel as BlockingSentinel

SCHEMES = {"redis+sentinel": False, "rediss+sentinel": True}
"""{scheme: whether it means TLS}."""
DEFAULT_PORT = 26379
ANSWER_TIMEOUT = 2.0
"""Seconds for one Sentinel, before the next is asked."""


@dataclass(frozen=True)
class SentinelUrl:
    """The parts of such a URL. `options` go to each connection to the primary."""

    hosts: tuple[tuple[str, int], ...]
    name: str
    options: dict[str, Any]

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """What goes to each connection to a Sentinel."""
        tls = {"ssl": True} if self.options.get("ssl") else {}
        return {"socket_timeout": ANSWER_TIMEOUT, "socket_connect_timeout": ANSWER_TIMEOUT, **tls}


def read_sentinel_url(url: str) -> SentinelUrl | None:
    """The parts of the URL; None when its scheme is another. Raises: ValueError when hosts or name are missing."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        return None
    place, _, path = rest.partition("/")
    credentials, _, hosts = place.rpartition("@")
    user, _, password = credentials.partition(":")
    name, _, db = path.partition("/")
    if not (hosts and name and (db or "0").isdigit()):
        raise ValueError(f"{scheme}://HOST:PORT,HOST:PORT/NAME/DB is wanted, with the name of the primary")
    given = {"username": unquote(user), "password": unquote(password), "db": int(db or 0), "ssl": SCHEMES[scheme]}
    options = {key: value for key, value in given.items() if value}
    return SentinelUrl(tuple(map(_host, hosts.split(","))), unquote(name), options)


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # an IPv6 address stands in brackets
        host, port = text, str(DEFAULT_PORT)
    if not (host and port.isdigit()):
        raise ValueError(f"no HOST:PORT of a Sentinel: {text!r}")
    return host.strip("[]"), int(port)


class _SentinelPool(SentinelConnectionPool):
    """Also closes its connections to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.connection_pool.disconnect()


def connection_pool(url: str, **options: Any) -> ConnectionPool:
    """Connections to the server of a URL of any kind. Raises: ValueError when it is none."""
    found = read_sentinel_url(url)
    if found is None:
        return ConnectionPool.from_url(url, **options)
    sentinel = Sentinel(found.hosts, sentinel_kwargs=found.sentinel_options)  # type: ignore[no-untyped-call]
    return _SentinelPool(found.name, sentinel, **found.options, **options)  # type: ignore[no-untyped-call]


def client(url: str, **options: Any) -> Redis:
    """A client of the server of a URL of any kind. Raises: ValueError when it is none."""
    return Redis.from_pool(connection_pool(url, **options))


def ping(url: str, **options: Any) -> None:
    """Ask the server of a URL of any kind, without an event loop. Raises: RedisError, OSError, ValueError."""
    found = read_sentinel_url(url)
    if found is None:
        with blocking.Redis.from_url(url, **options) as redis:
            redis.ping()
        return
    sentinel = BlockingSentinel(list(found.hosts), sentinel_kwargs=found.sentinel_options)  # type: ignore[no-untyped-call]
    with sentinel.master_for(found.name, **found.options, **options) as redis:  # type: ignore[no-untyped-call]
        redis.ping()
    for one in sentinel.sentinels:
        one.close()
