"""The lane of scheduled jobs, and who has places in it."""

from __future__ import annotations

import asyncio
from collections import Counter

from bson import ObjectId

from pipeline_engine.domain.jobs.slot_id import SlotId
from pipeline_engine.ids import object_id
from pipeline_engine.lanes import Backoff, JobKind, Lane


def read_credential_id(text: str) -> ObjectId | str:
    """The id of a credential, which the CRM may have stored as text."""
    return object_id(text) or text


ATTEMPTS = 3
RETRY_SECONDS = 30.0
# Slot rows count attempts and crashes; a job that failed is only a way to look again.
LANE = Lane("crm.jobs", 4, Backoff.fixed(RETRY_SECONDS), attempts=ATTEMPTS, timeout=300, crashes=None)
SLOT = JobKind("crm.job", LANE, str, "cron_slots")
"""Does a slice of one slot of a job. Its id is that of the slot's row."""

RELEASE = JobKind("crm.credential_release", LANE, read_credential_id, "integration_credentials")
"""Releases a credential whose refresh was cut off by the end of its process."""

MAX_OF_ACCOUNT = 2
MAX_OF_JOB = 3
WAIT_SECONDS = 1.0
"""So long a slot waits for a place of its share: most slots end within milliseconds, on a busy machine within this."""


class Places:
    """The places of the lane in this process. One account takes at most 2 of the 4 and one job at most 3, so that
    neither an account nor a provider that hangs takes them all."""

    def __init__(self) -> None:
        self._taken: Counter[object] = Counter()
        self._slow: set[object] = set()
        """Accounts and jobs of which no place became free in time: no slot waits until one is given back."""
        self._given_back = asyncio.Event()

    async def take(self, id: SlotId) -> bool:
        """Take a place, after a short wait if need be; False when the account or the job has had its share for long."""
        while full := self._full(id):
            given_back = self._given_back
            try:
                async with asyncio.timeout(0 if full & self._slow else WAIT_SECONDS):
                    await given_back.wait()
            except TimeoutError:
                self._slow |= full
                return False
        self._taken.update((id.account_id, id.job))
        return True

    def give_back(self, id: SlotId) -> None:
        """Give a taken place back."""
        self._taken.subtract((id.account_id, id.job))
        self._taken += Counter()  # accounts without a place are forgotten
        self._slow -= {id.account_id, id.job}
        self._given_back.set()
        self._given_back = asyncio.Event()

    def _full(self, id: SlotId) -> set[object]:
        """What of the account and the job has its share."""
        shares = ((id.account_id, MAX_OF_ACCOUNT), (id.job, MAX_OF_JOB))
        return {one for one, most in shares if self._taken[one] >= most}
