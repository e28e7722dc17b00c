"""A mail server with one mailbox in memory, read by IMAP. It is empty at first.

Its address is the one from which the engine sends, so that answers to the engine's mails belong there.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from argparse import Namespace
from urllib.parse import quote

from pipeline_engine.embedded.ports import HOST
from pipeline_engine.embedded.smtp_sink import ADDRESS, NAME


class Imap:
    """Runs on the caller's event loop."""

    def __init__(self) -> None:
        self._password = secrets.token_hex(20)
        self._port = 0
        self._server: asyncio.Server | None = None

    def environment(self) -> dict[str, str]:
        return {"IMAP_URL": f"imap://{quote(ADDRESS)}:{self._password}@{HOST}:{self._port}"}

    async def start(self) -> None:
        await asyncio.sleep(0)  # the programs can start while this one imports
        from proxyprotocol.reader import ProxyProtocolReader
        from pymap.backend.dict import DictBackend
        from pymap.imap import IMAPServer
        from pysasl.hashing import Cleartext

        os.environ["FQDN"] = NAME  # without it pymap asks DNS for the name of this machine, in every greeting
        # A hash of the password takes almost a second; without a context pymap loads what CERT_FILE names.
        quick = {"hash_context": Cleartext(), "ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}
        backend, config = await DictBackend.init(self._arguments(), **quick)
        serve = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
        self._server = await asyncio.start_server(serve, HOST, 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self, _patience: float = 0) -> None:
        if self._server:
            self._server.close()

    def _arguments(self) -> Namespace:
        """What pymap reads from its command line."""
        user = {"demo_user": ADDRESS, "demo_password": self._password, "demo_data": False}
        unused = dict.fromkeys(("host", "port", "cert", "key", "proxy_protocol", "passlib_cfg"))
        return Namespace(**user, **unused, tls=False, debug=False)
