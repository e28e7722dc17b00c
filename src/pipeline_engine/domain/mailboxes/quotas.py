"""What providers let one mailbox do, as they publish it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MB = 10**6


@dataclass(frozen=True)
class MailboxQuota:
    """Bytes that may be fetched in a day (None: no limit is known) and connections that may be open at a time."""

    bytes_per_day: int | None
    connections: int


QUOTAS = {
    "gmail": MailboxQuota(2_500 * MB, 15),
    "outlook": MailboxQuota(None, 20),
    "imap": MailboxQuota(None, 10),
}
SHARE = 0.8
"""Of a day's bytes the engine takes at most this part, as people read the mailbox too."""


def bytes_left(document: Mapping[str, Any], now: datetime) -> int | None:
    """How many bytes the engine may still fetch today from the mailbox; None without a limit. Pure."""
    quota = QUOTAS.get(str(document.get("provider")), QUOTAS["imap"])
    if quota.bytes_per_day is None:
        return None
    return max(0, int(quota.bytes_per_day * SHARE) - fetched_today(document, now))


def fetched_today(document: Mapping[str, Any], now: datetime) -> int:
    """Bytes that were fetched today (UTC) from the mailbox."""
    fetched = document.get("fetched") or {}
    count = fetched.get("bytes")
    return int(count) if fetched.get("day") == f"{now:%Y-%m-%d}" and isinstance(count, int) else 0


def tomorrow(now: datetime) -> datetime:
    """When the next day's bytes may be fetched."""
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
