"""Retries many dead letters at a pace: one of them first, and no more when it, or most of the first, fail again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain import dead_letters
from pipeline_engine.domain.dead_letters import Letter
from pipeline_engine.domain.retry_verdicts import Verdicts, judge
from pipeline_engine.errors import Permanent

SAMPLE_SIZE = 50
POLL_SECONDS = 0.25

log = logs.get(__name__)


@dataclass(frozen=True)
class Pace:
    """`per_second` jobs go back into their lanes. With `checks`, one goes first, and after the first 50 the rest waits
    for their outcomes, each time for at most `wait` seconds."""

    per_second: float = 10.0
    checks: bool = True
    wait: float = 120.0


@dataclass(frozen=True)
class BulkResult:
    """`retried` jobs are back in their lanes, `left` letters are as they were; `stopped` says why, if any are."""

    retried: int
    left: int
    stopped: str = ""


async def retry_all(app: App, letters: Sequence[Letter], pace: Pace) -> BulkResult:
    """Retry the letters in their order. Letters that were settled meanwhile are passed over.

    Raises: Unreachable when Redis is away; the letters that are still dead can be retried again.
    """
    bulk = _Bulk(app, pace)
    for place, letter in enumerate(letters, 1):
        sent = await bulk.send(letter)
        is_check = sent and pace.checks and len(bulk.sent) in (1, 1 + SAMPLE_SIZE)
        if is_check and place < len(letters) and (why := await bulk.doubts()):
            log.warning("dead_letters.retry_stopped", retried=len(bulk.sent), left=len(letters) - place, reason=why)
            return BulkResult(len(bulk.sent), len(letters) - place, why)
    return BulkResult(len(bulk.sent), 0)


class _Bulk:
    """One bulk retry under way."""

    def __init__(self, app: App, pace: Pace) -> None:
        self.sent: list[Letter] = []
        self._app = app
        self._pace = pace
        self._since = app.clock.now()
        self._next = monotonic()

    async def send(self, letter: Letter) -> bool:
        """Retry the letter when its turn has come. Returns False when it was settled meanwhile."""
        await asyncio.sleep(max(0.0, self._next - monotonic()))
        self._next = max(self._next, monotonic() - 1.0) + 1.0 / self._pace.per_second
        try:
            await dead_letters.retry(self._app, letter["_id"])
        except Permanent as error:
            log.info("dead_letter.passed_over", id=str(letter["_id"]), reason=str(error))
            return False
        self.sent.append(letter)
        return True

    async def doubts(self) -> str:
        """Why the rest must not be retried now; empty when nothing speaks against it."""
        sample = self.sent[-SAMPLE_SIZE:]
        found = await self._wait_for(sample)
        self._next = monotonic()
        if len(found.failed) * 2 > len(sample):
            return "it failed again" if len(sample) == 1 else f"{len(found.failed)} of {len(sample)} failed again"
        if len(found.succeeded) * 2 < len(sample):
            return (
                f"{found.decided} of {len(sample)} had ended after {self._pace.wait:g} s: does a daemon run this lane?"
            )
        return ""

    async def _wait_for(self, sample: Sequence[Letter]) -> Verdicts:
        """The verdicts as soon as they show what most of the sample does, or when the time is over."""
        deadline = monotonic() + self._pace.wait
        while True:
            found = await judge(self._app, sample, self._since)
            clear = len(found.failed) * 2 > len(sample) or len(found.succeeded) * 2 >= len(sample)
            if clear or found.decided == len(sample) or monotonic() >= deadline:
                return found
            await asyncio.sleep(POLL_SECONDS)
