"""The lane of scheduled jobs, and who has places in it."""

from __future__ import annotations

from collections import Counter

from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.lanes import Backoff, JobKind, Lane

ATTEMPTS = 3
RETRY_SECONDS = 30.0
# Slot rows count attempts and crashes; a job that failed is only a way to look again.
LANE = Lane("crm.jobs", 4, Backoff.fixed(RETRY_SECONDS), attempts=ATTEMPTS, timeout=300, crashes=None)
SLOT = JobKind("crm.job", LANE, str, "cron_slots")
"""Does a slice of one slot of a job. Its id is that of the slot's row."""

MAX_OF_ACCOUNT = 2
MAX_OF_JOB = 3


class Places:
    """The places of the lane in this process. One account takes at most 2 of the 4 and one job at most 3, so that
    neither an account nor a provider that hangs takes them all."""

    def __init__(self) -> None:
        self._taken: Counter[object] = Counter()

    def take(self, id: SlotId) -> bool:
        """Take a place; False when the account or the job has its share."""
        if self._taken[id.account_id] >= MAX_OF_ACCOUNT or self._taken[id.job] >= MAX_OF_JOB:
            return False
        self._taken.update((id.account_id, id.job))
        return True

    def give_back(self, id: SlotId) -> None:
        """Give a taken place back."""
        self._taken.subtract((id.account_id, id.job))
        self._taken += Counter()  # accounts without a place are forgotten
