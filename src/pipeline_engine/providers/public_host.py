"""Hosts that a tenant's settings name: only addresses of the public internet are connected to.

A name is resolved once, every address that it has is checked, and the connection goes to a checked address. So neither
a name with a private address nor one whose answer changes, nor any spelling of an address (`2130706433`, `0x7f.1`,
`[::ffff:7f00:1]`), reaches this machine, its network or the metadata service of its cloud.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from pipeline_engine.errors import Permanent, Transient

GLOBAL_UNICAST = ip_network("2000::/3")
"""All public IPv6 addresses lie in it; those that embed an IPv4 address (`::ffff:…`, `64:ff9b::…`) lie outside."""
REFUSED_NETWORKS = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's wire server, which every machine there reaches
            "192.0.0.0/24",  # protocols, and the metadata of a cloud
            "192.88.99.0/24",  # relays of 6to4
            "2001::/23",  # Teredo, which embeds IPv4 addresses, and other protocols
            "2002::/16",  # 6to4, which embeds IPv4 addresses
            "3fff::/20",  # documentation
        ),
    )
)
LOOKUP_THREADS = 16
"""Threads for lookups, apart from the rest of the process: a name server that hangs holds one for many seconds."""

AddressInfo = tuple[Any, ...]
"""As `socket.getaddrinfo` returns them: family, type, protocol, canonical name, address."""
Lookup = Callable[..., Sequence[AddressInfo]]


def is_public(address: str) -> bool:
    """Whether the text is an address of the public internet, to which a tenant may have the engine connect."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if any(found in network for network in REFUSED_NETWORKS if network.version == found.version):
        return False
    return found.is_global and not found.is_multicast and _is_unicast(found)


def _is_unicast(address: IPv4Address | IPv6Address) -> bool:
    return not address.is_reserved if isinstance(address, IPv4Address) else address in GLOBAL_UNICAST


class PublicHosts:
    """Resolves and checks hosts. `allow_private` switches the check off, for tests and intranets."""

    def __init__(self, allow_private: bool, lookup: Lookup = socket.getaddrinfo) -> None:
        self.allow_private = allow_private
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    def close(self) -> None:
        """Wait for no lookup any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def resolve(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[AddressInfo]:
        """The addresses of the host, in the order in which to try them.

        Raises: Permanent `private_host` when one of them is not public; Transient when there is none.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: self._lookup(host, port, family=family, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError):  # UnicodeError: a label that is empty or too long
            found = []
        if not found:
            raise Transient("its host name has no address")
        for one in found:
            self.check(str(one[4][0]))
        return list(found)

    def check(self, address: str) -> None:
        """Raises: Permanent `private_host` when the engine may not connect to the address."""
        # The address is not named: it would tell a tenant what a name means inside.
        if not self.allow_private and not is_public(address):
            raise Permanent("its host is not on the public internet", "private_host")
