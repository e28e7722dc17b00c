"""How many places of the lane the endpoints of one account have in this process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from bson import ObjectId

YOUNG_SECONDS = 0.3
SHORT_WAIT_SECONDS, LONG_WAIT_SECONDS = 0.05, 0.5


class AccountPlaces:
    """Counts the running jobs of each account, of which at most `places` may run at a time: one tenant's hanging
    servers leave the rest of the lane to others."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._begun: dict[ObjectId, list[float]] = defaultdict(list)

    def wait(self, account_id: ObjectId) -> float | None:
        """None when the account has a place left; else after how many seconds to ask again: soon, when one of its jobs
        began just now, because most end within milliseconds."""
        begun = self._begun.get(account_id, [])
        if len(begun) < self._places:
            return None
        is_quick = monotonic() - max(begun) < YOUNG_SECONDS
        return SHORT_WAIT_SECONDS if is_quick else LONG_WAIT_SECONDS

    @contextmanager
    def taken(self, account_id: ObjectId) -> Iterator[None]:
        """One more place is taken for as long as the block runs."""
        now = monotonic()
        self._begun[account_id].append(now)
        try:
            yield
        finally:
            self._begun[account_id].remove(now)
            if not self._begun[account_id]:
                del self._begun[account_id]
