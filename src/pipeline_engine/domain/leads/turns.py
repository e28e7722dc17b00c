"""Which accounts have jobs running in this process: one with many leads due gives way to those with few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from bson import ObjectId

ASK_SECONDS = 0.05
"""After so long an account that gives way asks again."""
MOST_SECONDS = 2.0
"""A crowd gives way for so long at most, then has its turn whatever others do: a short one."""
SHORT_TURN = 100
"""Leads of a turn that a crowd has beside others."""


class Turns:
    """A turn is one batch of an account in a lane. After a turn that left more due, the account is in a crowd."""

    def __init__(self) -> None:
        self._running: Counter[ObjectId] = Counter()
        self._crowds: dict[tuple[ObjectId, str], float] = {}

    @contextmanager
    def taken(self, account_id: ObjectId) -> Iterator[None]:
        """A job of the account runs for as long as the block does."""
        self._running[account_id] += 1
        try:
            yield
        finally:
            self._running[account_id] -= 1
            if not self._running[account_id]:
                del self._running[account_id]

    def wait(self, account_id: ObjectId, lane: str) -> float | None:
        """After how many seconds a crowd is to ask again, because an account that is none has its turn; None: now."""
        since = self._crowds.get((account_id, lane))
        is_patient = since is not None and monotonic() - since <= MOST_SECONDS
        return ASK_SECONDS if is_patient and self._others_run() else None

    def limit(self, account_id: ObjectId, lane: str, most: int) -> int:
        """How many leads the account's turn may take."""
        return min(most, SHORT_TURN) if (account_id, lane) in self._crowds and self._others_run() else most

    def _others_run(self) -> bool:
        return not self._running.keys() <= {account for account, _ in self._crowds}

    def note(self, account_id: ObjectId, lane: str, *, has_more: bool) -> None:
        """Note that the account had a turn, and whether it left more due."""
        if has_more:
            self._crowds[account_id, lane] = monotonic()
        else:
            self._crowds.pop((account_id, lane), None)
