"""What a mail server says about a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATUS_ITEMS = ("UIDVALIDITY", "UIDNEXT", "MESSAGES")
MODSEQ_ITEM = "HIGHESTMODSEQ"
SENT_NAMES = frozenset({"sent", "sent items", "sent messages", "sent mail"})


@dataclass(frozen=True)
class FolderStatus:
    """UIDs up to `uidnext` - 1 have been given out; they mean the same messages for as long as `uidvalidity` stays.
    `modseq` grows with every change where the server counts them, else it is None."""

    uidvalidity: int
    uidnext: int | None
    messages: int
    modseq: int | None = None


@dataclass(frozen=True)
class MailboxFolder:
    """A folder of a mailbox. `flags` are in lower case and without the backslash: `sent`, `trash`, `noselect`."""

    name: str
    flags: frozenset[str]
    status: FolderStatus | None = None
    """None where the server did not say it with the list."""

    @property
    def can_be_opened(self) -> bool:
        return not self.flags & {"noselect", "nonexistent"}

    @property
    def last_name(self) -> str:
        """The last part of its path, in lower case."""
        return self.name.replace(".", "/").rpartition("/")[2].lower()

    @property
    def is_sent(self) -> bool:
        """Whether it is where a person's programs keep what they sent."""
        return "sent" in self.flags or self.last_name in SENT_NAMES


def read_status(items: Mapping[bytes, Any]) -> FolderStatus | None:
    """The status in an answer to STATUS or EXAMINE; None where the server leaves out UIDVALIDITY, without which UIDs
    mean nothing."""
    validity, next, modseq = (items.get(name) for name in (b"UIDVALIDITY", b"UIDNEXT", b"HIGHESTMODSEQ"))
    messages = items.get(b"MESSAGES", items.get(b"EXISTS"))
    if not isinstance(validity, int) or not isinstance(messages, int):
        return None
    counts = modseq if isinstance(modseq, int) and modseq > 0 else None
    return FolderStatus(validity, next if isinstance(next, int) else None, messages, counts)
