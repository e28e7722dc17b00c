"""A mailbox that is logged in: its folders and messages, read without changing a flag.

Every call runs in a thread of its own pool and ends in time: when its seconds are over, or its caller is cancelled, the
connection is cut and the thread is free again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from pipeline_engine.errors import Permanent, Transient
from pipeline_engine.failpoints import failpoint
from pipeline_engine.providers.imap_connection import ImapConnection, Wire
from pipeline_engine.providers.mailbox_errors import UNREADABLE_ANSWER, translated
from pipeline_engine.providers.mailbox_folder import MODSEQ_ITEM, STATUS_ITEMS, FolderStatus, MailboxFolder, read_status

T = TypeVar("T")
Ranges = Sequence[tuple[int, int]]
"""UIDs, from and to, both included."""

HEAD = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID FROM)]"
HEAD_KEY = b"BODY[HEADER.FIELDS"
"""How the answer's name for it begins; servers write the rest in their own way."""
BODY_KEY = b"BODY[]<0>"
LABELS = "X-GM-LABELS"
"""Gmail's folders of a message, which All Mail does not tell otherwise; its own begin with a backslash, as flags do."""
CLOSE_TIMEOUT = 2.0
MAX_RANGES = 100
"""So many ranges one search names; a command line must not become too long."""


@dataclass(frozen=True)
class MessageHead:
    """What is fetched of every message first: its size, when the server received it, two lines of its header; and its
    marks, flags and labels of the server's own, in lower case and without the backslash: `seen`, `draft`, `sent`."""

    size: int
    received_at: datetime
    header: bytes
    marks: frozenset[str] = frozenset()

    @property
    def is_draft(self) -> bool:
        return bool(self.marks & {"draft", "drafts"})

    @property
    def is_sent(self) -> bool:
        """Whether the server says that the mailbox's user sent it, from whatever address."""
        return "sent" in self.marks


class Mailbox:
    """One connection. Calls raise Transient when it broke or timed out, and Permanent when the server refused."""

    def __init__(self, connection: ImapConnection, wire: Wire, threads: Executor, timeout: float) -> None:
        """`timeout`: seconds that a call may take."""
        self._connection, self._wire = connection, wire
        self._threads, self._timeout = threads, timeout

    @property
    def commands(self) -> int:
        """How many commands were sent."""
        return self._connection.commands

    async def folders(self) -> list[MailboxFolder]:
        """All folders; each with its status where the server can send both at once."""
        return await self._call("list", self._folders)

    async def status(self, folder: str) -> FolderStatus:
        """The folder's status. Raises: Permanent when there is no such folder."""
        return await self._call("status", lambda: _needed(self._connection.folder_status(folder, self._items())))

    async def open(self, folder: str) -> FolderStatus:
        """Open the folder, only to read, for the calls below. Returns its status as it is then."""
        return await self._call("examine", lambda: _needed(self._connection.select_folder(folder, readonly=True)))

    async def search(self, ranges: Ranges, since: date | None = None) -> list[int]:
        """The UIDs in these ranges that exist, ascending; with `since` those received on that day or later."""
        found = set[int]()
        for start in range(0, len(ranges), MAX_RANGES):
            found |= await self._call("search", self._search, ranges[start : start + MAX_RANGES], since)
        return sorted(found)

    async def heads(self, uids: Sequence[int]) -> dict[int, MessageHead]:
        """{UID: head} of the messages that exist. Raises: Permanent UNREADABLE_ANSWER when one answer is malformed."""
        return await self._call("fetch_heads", self._heads, uids)

    async def bodies(self, uids: Sequence[int], max_bytes: int) -> dict[int, bytes]:
        """{UID: the first `max_bytes` of the message} of the messages that exist. Raises: as `heads`."""
        return await self._call("fetch_bodies", self._bodies, uids, max_bytes)

    async def holds(self, message_id: str) -> bool:
        """Whether the open folder holds a message of this Message-ID."""
        return bool(await self._call("search", self._connection.search, ["HEADER", "Message-ID", message_id]))

    async def append(self, folder: str, raw: bytes) -> None:
        """Put a message into the folder, marked as read."""
        await self._call("append", lambda: self._connection.append(folder, raw, flags=(rb"\Seen",)))

    async def close(self) -> None:
        """Log out, and close the connection whatever becomes of that."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._call("logout", self._connection.logout)
        except (TimeoutError, Transient, Permanent):
            self._wire.cut()
            with suppress(RuntimeError):  # the process is closing its threads
                self._threads.submit(self._connection.drop)

    async def _call(self, name: str, work: Callable[..., T], *arguments: Any) -> T:
        async with failpoint(f"imap.{name}"):
            return await in_thread(self._threads, self._wire, self._timeout, work, *arguments)

    def _items(self) -> tuple[str, ...]:
        counts = self._connection.has_capability("CONDSTORE")
        return (*STATUS_ITEMS, MODSEQ_ITEM) if counts else STATUS_ITEMS

    def _folders(self) -> list[MailboxFolder]:
        extended = all(map(self._connection.has_capability, ("LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE")))
        if extended:
            listed, states = self._connection.list_with_status(self._items())
        else:
            listed, states = self._connection.list_folders(), {}
        return [MailboxFolder(name, _flags(flags), read_status(states.get(name, {}))) for flags, _, name in listed]

    def _search(self, ranges: Ranges, since: date | None) -> set[int]:
        criteria: list[Any] = ["UID", ",".join(f"{low}:{high}" for low, high in ranges)]
        if since:
            criteria += ["SINCE", since]
        found = self._connection.search(criteria)
        return {uid for uid in found if any(low <= uid <= high for low, high in ranges)}

    def _heads(self, uids: Sequence[int]) -> dict[int, MessageHead]:
        labels = [LABELS] if self._connection.has_capability("X-GM-EXT-1") else []
        found = self._connection.fetch(uids, ["RFC822.SIZE", "INTERNALDATE", "FLAGS", *labels, HEAD])
        return {uid: head for uid, items in found.items() if (head := _head(items)) is not None}

    def _bodies(self, uids: Sequence[int], max_bytes: int) -> dict[int, bytes]:
        found = self._connection.fetch(uids, [f"BODY.PEEK[]<0.{max_bytes}>"])
        return {uid: items[BODY_KEY] or b"" for uid, items in found.items() if BODY_KEY in items}


async def in_thread(threads: Executor, wire: Wire, timeout: float, work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work` on a connection. When the time is over or the caller is cancelled, the connection is cut.

    Raises: Transient, Permanent as `translated` makes them of what imaplib raises.
    """

    def translating() -> T:
        with translated():
            return work(*arguments)

    future = threads.submit(translating)
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.wrap_future(_shielded(future))
    except TimeoutError:
        wire.cut()
        raise Transient(f"the mail server takes more than {timeout:g} s for a command") from None
    except asyncio.CancelledError:
        wire.cut()
        raise


def _shielded(future: Future[T]) -> Future[T]:
    """A future that ends as the other does, and whose cancellation leaves that one alone."""
    copy: Future[T] = Future()

    def end(done: Future[T]) -> None:
        if not copy.set_running_or_notify_cancel():
            return
        if error := done.exception():
            copy.set_exception(error)
        else:
            copy.set_result(done.result())

    future.add_done_callback(end)
    return copy


def _head(items: dict[bytes, Any]) -> MessageHead | None:
    header = next((value or b"" for key, value in items.items() if key.startswith(HEAD_KEY)), None)
    received, size = items.get(b"INTERNALDATE"), items.get(b"RFC822.SIZE")
    at = received if isinstance(received, datetime) else datetime.now(UTC)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return None if header is None else MessageHead(size if isinstance(size, int) else 0, at, header, _marks(items))


def _marks(items: dict[bytes, Any]) -> frozenset[str]:
    given = [*(items.get(b"FLAGS") or ()), *(items.get(LABELS.encode()) or ())]
    return _flags([one for one in given if isinstance(one, bytes) and one.startswith(b"\\")])  # not a user's label


def _flags(flags: Sequence[bytes]) -> frozenset[str]:
    return frozenset(flag.decode(errors="replace").lstrip("\\").lower() for flag in flags)


def _needed(items: dict[bytes, Any]) -> FolderStatus:
    if status := read_status(items):
        return status
    raise Permanent("the mail server does not say the folder's UIDVALIDITY", UNREADABLE_ANSWER)
