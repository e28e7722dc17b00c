"""Free ports on loopback."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack

HOST = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections (also 10,000 further up), so that
# none of those can slip into the moment between our finding a port and the server's binding it.
LOWEST, HIGHEST = 15_000, 22_000


def free_ports(count: int, twin: int = 0) -> list[int]:
    """`count` different ports that nothing listens on now; with `twin`, nor on the ports that much further up.

    Somebody may still be quicker than the caller, who tries again with other ports then.
    """
    found: list[int] = []
    with ExitStack() as held:  # all at once, so that they differ
        while len(found) < count:
            port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
            if all(_take(held, number) for number in {port, port + twin}):
                found.append(port)
    return found


def _take(held: ExitStack, port: int) -> bool:
    door = held.enter_context(socket.socket())
    try:
        door.bind((HOST, port))
    except OSError:
        return False
    return True
