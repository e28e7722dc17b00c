"""One IMAP connection: to an address that was checked before, verified against the host's name, and bounded in what it
may answer. Its calls block, so they belong in a thread."""

from __future__ import annotations

import imaplib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from imapclient import IMAPClient, SocketTimeout, imap_utf7
from imapclient.response_parser import parse_response

from pipeline_engine.providers.mailbox_server import MailboxLogin, MailboxServer

MAX_ANSWER_BYTES = 64 * 2**20
"""What one command may answer; a server that sends more is cut off."""
MAX_ADDRESSES = 3
CONNECT_TIMEOUT = 10.0


class Wire:
    """The socket of a connection, which another thread may cut while a call waits for an answer."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._is_cut = False

    def connect(self, addresses: Sequence[Any], timeout: float) -> socket.socket:
        """A socket to the first of the addresses that answers. Raises: OSError of the last one."""
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, where in addresses[:MAX_ADDRESSES]:
            if self._is_cut:
                break
            self._socket = socket.socket(family, kind, protocol)
            self._socket.settimeout(timeout)
            try:
                self._socket.connect(where)
            except OSError as error:
                self._socket.close()
                failure = error
            else:
                return self._socket
        raise failure

    def wrap(self, raw: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
        """The socket within TLS. Raises: ssl.SSLError when the certificate is not the host's."""
        encrypted = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
        self._socket = encrypted
        try:
            encrypted.do_handshake()
        except BaseException:
            encrypted.close()
            raise
        return encrypted

    def goes_on_as(self, encrypted: socket.socket) -> None:
        """From now on the connection is this socket, which was made of the one before."""
        self._socket = encrypted

    def cut(self) -> None:
        """End the connection at once; a call that waits on it fails."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Protocol(imaplib.IMAP4):
    """imaplib's side of the connection. `commands` counts what it has sent."""

    def __init__(self, server: MailboxServer, addresses: Sequence[Any], context: ssl.SSLContext, wire: Wire) -> None:
        self.commands = 0
        self._left = MAX_ANSWER_BYTES
        self._server, self._addresses, self._context, self._wire = server, addresses, context, wire
        super().__init__(server.host, server.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        raw = self._wire.connect(self._addresses, CONNECT_TIMEOUT)
        return self._wire.wrap(raw, self._context, self.host) if self._server.security == "tls" else raw

    def _new_tag(self) -> bytes:
        self.commands += 1
        self._left = MAX_ANSWER_BYTES
        tag: bytes = super()._new_tag()  # type: ignore[misc]
        return tag

    def read(self, size: int) -> bytes:
        self._spend(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._spend(len(line))
        return line

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self.abort(f"the server answers a command with more than {MAX_ANSWER_BYTES >> 20} MB")


class ImapConnection(IMAPClient):  # type: ignore[misc]
    """A connection that is made, and encrypted as the server wants it, when the object is."""

    def __init__(
        self, server: MailboxServer, addresses: Sequence[Any], context: ssl.SSLContext, wire: Wire, timeout: float
    ) -> None:
        """`timeout`: seconds that the server may be silent. Raises: OSError, imaplib.IMAP4.error."""
        self._open: Callable[[], _Protocol] = lambda: _Protocol(server, addresses, context, wire)
        super().__init__(
            server.host, server.port, ssl=server.security == "tls", timeout=SocketTimeout(CONNECT_TIMEOUT, timeout)
        )
        self.normalise_times = False
        self._imap.debug = 0
        if server.security == "starttls":
            try:
                self.starttls(context)
            except BaseException:
                self.drop()
                raise
            wire.goes_on_as(self._imap.sock)
            self._set_read_timeout()

    def _create_IMAP4(self) -> _Protocol:  # noqa: N802 - imapclient's name
        return self._open()

    @property
    def commands(self) -> int:
        """How many commands were sent."""
        return int(self._imap.commands)

    def drop(self) -> None:
        """Close the socket without a farewell."""
        with suppress(OSError, AttributeError):
            self._imap.shutdown()

    def log_in(self, username: str, login: MailboxLogin) -> None:
        """Log in by XOAUTH2, PLAIN or LOGIN. Raises: imapclient's LoginError with the server's answer."""
        if login.token:
            self.sasl_login("XOAUTH2", _xoauth2(username, login.token))
        elif self.has_capability("AUTH=PLAIN"):
            self.plain_login(username, login.password)
        else:
            self.login(username, login.password)

    def list_with_status(self, items: Sequence[str]) -> tuple[list[Any], dict[str, dict[bytes, Any]]]:
        """All folders as `list_folders` returns them, and {name: status} of those whose status the server knows."""
        wanted = f"(SPECIAL-USE STATUS ({' '.join(items)}))"
        kind, answer = self._imap._simple_command("LIST", '""', '"*"', "RETURN", wanted)
        self._checkok("list", kind, answer)
        _, listed = self._imap._untagged_response(kind, answer, "LIST")
        _, states = self._imap._untagged_response(kind, answer, "STATUS")
        return self._proc_folder_list(listed), _states(parse_response([line for line in states if line]))


def _states(answer: Sequence[Any]) -> dict[str, dict[bytes, Any]]:
    """{name: {item: value}} of STATUS answers: names and lists in turn."""
    found = {}
    for name, pairs in zip(answer[::2], answer[1::2], strict=True):
        text = str(name) if isinstance(name, int) else str(imap_utf7.decode(name))
        found[text] = {key.upper(): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
    return found


def _xoauth2(username: str, token: str) -> Callable[[bytes], bytes]:
    """The client's side of XOAUTH2: the token once, then an empty line, which a server wants that refuses it."""
    answers = [f"user={username}\1auth=Bearer {token}\1\1".encode()]
    return lambda _challenge: answers.pop() if answers else b""
