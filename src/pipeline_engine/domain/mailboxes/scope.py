"""What of a mailbox is read: folders, how far back, which senders not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pipeline_engine.providers.mailbox import MessageHead
from pipeline_engine.providers.mailbox_folder import MailboxFolder

DEFAULT_SINCE_DAYS = 90
MAX_SINCE_DAYS = 36_500
DEFAULT_MAX_BYTES = 256 * 1024
LEAST_BYTES, MOST_BYTES = 4 * 1024, 4 * 2**20
LEFT_OUT = frozenset({"trash", "junk", "drafts", "flagged", "important"})
"""Folders that nothing is read from, by their special use."""
LEFT_OUT_NAMES = frozenset(
    {"trash", "junk", "spam", "drafts", "deleted items", "deleted messages", "junk email", "junk e-mail", "outbox"}
)
"""The same by name, where the server does not say what a folder is for."""


@dataclass(frozen=True)
class MailboxScope:
    """The settings of a mailbox's `sync`. `folders` is empty where they name none."""

    folders: tuple[str, ...]
    since_days: int
    blocklist: frozenset[str]
    max_bytes: int
    """So much of a message is fetched: its text. What lies behind, attachments, stays on the server."""

    def since(self, now: datetime) -> date:
        """The first day of the window. Servers compare days in zones of their own, so one more is taken."""
        return (now - timedelta(days=self.since_days + 1)).date()

    def blocks(self, address: str) -> bool:
        """Whether mails from this address are left out: it or its domain is on the blocklist."""
        lower = address.lower()
        domain = lower.rpartition("@")[2]
        parents = {domain.split(".", cut)[-1] for cut in range(domain.count(".") + 1)}
        return bool(self.blocklist & {lower, *parents, *(f"@{one}" for one in parents)})

    def leaves_out(self, head: MessageHead, sender: str, is_sent: bool) -> str:
        """Why the message is left out; '' when it is wanted. `is_sent`: it lies in a folder for sent mail."""
        # Some programs leave a mail's mark as a draft when they put it among the sent ones.
        if head.is_draft and not (is_sent or head.is_sent):
            return "it is a draft"
        return "its sender is on the blocklist" if self.blocks(sender) else ""


def read_scope(mailbox: Mapping[str, Any]) -> MailboxScope:
    """What the document says, and defaults for what it does not, or not sensibly."""
    found = mailbox.get("sync")
    given: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return MailboxScope(
        folders=tuple(_texts(given.get("folders"))),
        since_days=_number(given.get("since_days"), DEFAULT_SINCE_DAYS, 0, MAX_SINCE_DAYS),
        blocklist=frozenset(one.strip().lower() for one in _texts(given.get("blocklist")) if one.strip()),
        max_bytes=_number(given.get("max_bytes"), DEFAULT_MAX_BYTES, LEAST_BYTES, MOST_BYTES),
    )


def folders_to_read(scope: MailboxScope, listed: Sequence[MailboxFolder]) -> tuple[list[MailboxFolder], list[str]]:
    """The folders to read, those of received mail first, and the names of wanted ones that the mailbox lacks.

    Where one folder holds every message (Gmail), it alone is read: the others show the same messages again.
    """
    usable = {one.name: one for one in listed if one.can_be_opened}
    if scope.folders:
        names = {name: _actual(name, usable) for name in scope.folders}
        return [usable[one] for one in names.values() if one], [name for name, one in names.items() if one is None]
    all_mail = [one for one in usable.values() if "all" in one.flags]
    found = all_mail or [one for one in usable.values() if not _is_left_out(one)]
    return sorted(found, key=lambda one: (one.name.upper() != "INBOX", one.is_sent, one.name)), []


def _actual(name: str, usable: Mapping[str, MailboxFolder]) -> str | None:
    if name in usable:
        return name
    return next((one for one in usable if one.upper() == name.upper() == "INBOX"), None)


def _is_left_out(folder: MailboxFolder) -> bool:
    return bool(folder.flags & LEFT_OUT) or folder.last_name in LEFT_OUT_NAMES


def _texts(value: object) -> Iterable[str]:
    return (one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()


def _number(value: object, default: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return default
    return int(min(max(value, least), most))
