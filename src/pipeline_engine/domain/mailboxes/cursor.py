"""How far a folder is read. Pure.

UIDs grow with time, and new mail is wanted first: so UIDs are read from the newest downwards, and what lies between is
kept as open ranges. `last_uid` is the cursor proper: all UIDs up to it have a row, stored or left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

Range = tuple[int, int]
"""UIDs from and to, both included."""


@dataclass(frozen=True)
class FolderCursor:
    """Up to `top_uid` all UIDs have been read but those in `open`, which are ranges in ascending order.

    Of the UIDs up to `since_uid` only messages received on `since` or later are wanted: those were there when the
    mailbox was first read. What comes later is wanted whatever its date.
    """

    uidvalidity: int
    top_uid: int = 0
    open: tuple[Range, ...] = ()
    since: date | None = None
    since_uid: int = 0

    @property
    def last_uid(self) -> int:
        """All UIDs up to this one have a row."""
        return self.open[0][0] - 1 if self.open else self.top_uid

    def grown_to(self, top_uid: int) -> FolderCursor:
        """The cursor when the folder has given out UIDs up to `top_uid`: the new ones are open."""
        if top_uid <= self.top_uid:
            return self
        return replace(self, top_uid=top_uid, open=joined([*self.open, (self.top_uid + 1, top_uid)]))

    def read_down_to(self, uid: int) -> FolderCursor:
        """The cursor when every UID from this one on has a row."""
        left = [(low, min(high, uid - 1)) for low, high in self.open if low < uid]
        return replace(self, open=tuple(left))

    @property
    def open_by_window(self) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
        """The open ranges: those in which only messages since a date are wanted, and those in which all are."""
        if self.since is None:
            return (), self.open
        old = [(low, min(high, self.since_uid)) for low, high in self.open if low <= self.since_uid]
        new = [(max(low, self.since_uid + 1), high) for low, high in self.open if high > self.since_uid]
        return tuple(old), tuple(new)

    def stored(self) -> dict[str, Any]:
        """The cursor as it stands in the mailbox's document."""
        window = {"since": self.since.isoformat(), "since_uid": self.since_uid} if self.since else {}
        reading = {"open": [list(one) for one in self.open]} if self.open else {}
        return {
            "uidvalidity": self.uidvalidity,
            "last_uid": self.last_uid,
            "top_uid": self.top_uid,
            **reading,
            **window,
        }


def first_cursor(uidvalidity: int, top_uid: int, since: date | None) -> FolderCursor:
    """The cursor of a folder that is read for the first time, or whose UIDs mean other messages now."""
    return FolderCursor(uidvalidity, 0, (), since, top_uid if since else 0).grown_to(top_uid)


def read_cursor(stored: object) -> FolderCursor | None:
    """The cursor of a folder; None where none is stored, or not as the engine stores it: then it is read anew."""
    if not isinstance(stored, Mapping):
        return None
    validity, top = stored.get("uidvalidity"), stored.get("top_uid", stored.get("last_uid"))
    if not isinstance(validity, int) or not isinstance(top, int):
        return None
    since = read_since(stored)
    since_uid = stored.get("since_uid")
    bound = since_uid if isinstance(since_uid, int) else 0
    return FolderCursor(validity, top, _ranges(stored.get("open")), since, bound)


def read_since(stored: object) -> date | None:
    """The first day of a folder's window, if it has one."""
    text = stored.get("since") if isinstance(stored, Mapping) else None
    try:
        return date.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def _ranges(stored: object) -> tuple[Range, ...]:
    found = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else []
    pairs = [tuple(one) for one in found if isinstance(one, Sequence) and len(one) == 2]
    return joined([(int(low), int(high)) for low, high in pairs])


def joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """The ranges in ascending order, those that touch made one."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)
