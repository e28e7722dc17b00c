"""What ran: rows for the store, counts for charts, and one log line for all that went well since the last flush."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from pipeline_engine import logs
from pipeline_engine.lanes.connection import AWAY
from pipeline_engine.lanes.job import Job
from pipeline_engine.lanes.job_store import HistoryRow, JobStore
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.outcome import Dead, Done, Outcome, Retry, Snooze

log = logs.get(__name__)

LEDGER_TIMEOUT = 5.0
MINUTES_KEPT = 25 * 3600


class _Rings:
    """Rows of one lane, as many of each kind as the lane keeps anyhow; older ones fall out."""

    def __init__(self, lane: Lane) -> None:
        self.completed: deque[HistoryRow] = deque(maxlen=lane.retention.completed_rows)
        self.failed: deque[HistoryRow] = deque(maxlen=lane.retention.failed_rows)

    def followed_by(self, later: _Rings) -> _Rings:
        self.completed.extend(later.completed)
        self.failed.extend(later.failed)
        return self


class History:
    """Gathers in memory; `flush` hands over."""

    def __init__(self, lanes: Sequence[Lane], store: JobStore, redis: Redis, keys: Keys) -> None:
        self._lanes = lanes
        self._store = store
        self._redis = redis
        self._keys = keys
        self._rings = self._fresh()
        self._tallies: dict[str, Counter[str]] = {lane.name: Counter() for lane in lanes}

    def _fresh(self) -> dict[str, _Rings]:
        return {lane.name: _Rings(lane) for lane in self._lanes}

    def note(self, job: Job, outcome: Outcome, ms: float, error: str | None) -> None:
        """Remember one attempt. A released job has not failed and is not through: it is only counted."""
        rings, tally = self._rings[job.lane], self._tallies[job.lane]
        tally["ms"] += round(ms)
        now = datetime.now(UTC)
        match outcome:
            case Done():
                tally["done"] += 1
                rings.completed.append(HistoryRow(job.lane, job.id, job.function, "done", ms, job.attempt, now))
            case Retry():
                tally["retried"] += 1
                rings.failed.append(HistoryRow(job.lane, job.id, job.function, "retried", ms, job.attempt, now, error))
            case Dead():
                tally["dead"] += 1
                rings.failed.append(HistoryRow(job.lane, job.id, job.function, "dead", ms, job.attempt, now, error))
            case Snooze():
                tally["released"] += 1

    async def flush(self) -> None:
        """Hand over what has gathered. Rows that the store does not take stay for the next time."""
        tallies = {lane: tally for lane, tally in self._tallies.items() if tally}
        self._tallies.update((lane, Counter()) for lane in tallies)
        if tallies:
            _summarise(tallies)
            await self._chart(tallies)
        await self._record()

    async def _chart(self, tallies: dict[str, Counter[str]]) -> None:
        minute = int(datetime.now(UTC).timestamp() // 60)
        pipe = self._redis.pipeline(transaction=False)
        for lane, tally in tallies.items():
            key = self._keys.minutes(lane, minute // 60)
            for what, count in tally.items():
                pipe.hincrby(key, f"{minute}:{what}", count)
            pipe.expire(key, self._keys.ttl or MINUTES_KEPT)
        try:
            await pipe.execute()
        except AWAY:
            log.debug("chart.lost")  # a gap in a chart, nothing more

    async def _record(self) -> None:
        rows = [row for rings in self._rings.values() for row in (*rings.failed, *rings.completed)]
        if not rows:
            return
        taken, self._rings = self._rings, self._fresh()
        try:
            async with asyncio.timeout(LEDGER_TIMEOUT):
                await self._store.record(rows)
        except Exception as error:
            log.warning("history.unwritten", rows=len(rows), error=type(error).__name__)
            self._rings = {lane: rings.followed_by(self._rings[lane]) for lane, rings in taken.items()}


def _summarise(tallies: dict[str, Counter[str]]) -> None:
    done = {lane: tally["done"] for lane, tally in tallies.items() if tally["done"]}
    if done:
        log.info("jobs.done", jobs=sum(done.values()), **done)
