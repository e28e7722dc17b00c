"""What ran: rows for the store, counts per minute for charts, and one log line per second for all completed jobs."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pipeline_engine import logs
from pipeline_engine.lanes.connection import call_timeout
from pipeline_engine.lanes.job import Dead, Done, Job, Outcome, Retry, Snooze
from pipeline_engine.lanes.job_store import HistoryRow, JobStore
from pipeline_engine.lanes.keys import Keys
from pipeline_engine.lanes.lane import Lane

log = logs.get(__name__)

STORE_TIMEOUT = 5.0
MINUTES_TTL_SECONDS = 25 * 3600
OUTCOMES = ("done", "retried", "dead", "released")
"""What becomes of a job after an attempt, as it is counted."""


class _Rings:
    """The newest rows of one lane, as many of each kind as its retention keeps; older ones drop out."""

    def __init__(self, lane: Lane) -> None:
        self.completed: deque[HistoryRow] = deque(maxlen=lane.retention.completed_rows)
        self.failed: deque[HistoryRow] = deque(maxlen=lane.retention.failed_rows)

    def extended_by(self, later: _Rings) -> _Rings:
        self.completed.extend(later.completed)
        self.failed.extend(later.failed)
        return self


class History:
    """Gathers attempts in memory. `flush` writes them to the store and to Redis."""

    def __init__(self, lanes: Sequence[Lane], store: JobStore, redis: Redis, keys: Keys) -> None:
        self._lanes = lanes
        self._store = store
        self._redis = redis
        self._keys = keys
        self._rings = self._empty_rings()
        self._counts: dict[str, Counter[str]] = {lane.name: Counter() for lane in lanes}
        self._flushed: dict[str, Counter[str]] = {lane.name: Counter() for lane in lanes}

    def _empty_rings(self) -> dict[str, _Rings]:
        return {lane.name: _Rings(lane) for lane in self._lanes}

    def add(self, job: Job, outcome: Outcome, ms: float) -> None:
        """Add one attempt. A snoozed job has neither failed nor completed, so it is counted and gets no row."""
        rings, counts = self._rings[job.lane], self._counts[job.lane]
        counts["ms"] += round(ms)
        now = datetime.now(UTC)
        row = (job.lane, job.id, job.function)
        match outcome:
            case Done():
                counts["done"] += 1
                rings.completed.append(HistoryRow(*row, "done", ms, job.attempt, now))
            case Retry():
                counts["retried"] += 1
                rings.failed.append(HistoryRow(*row, "retried", ms, job.attempt, now, outcome.error))
            case Dead():
                counts["dead"] += 1
                rings.failed.append(HistoryRow(*row, "dead", ms, job.attempt, now, outcome.error))
            case Snooze():
                counts["released"] += 1

    def totals(self, lane: str) -> Mapping[str, int]:
        """{done, retried, dead, released: attempts, ms: their time} of this lane since the start; what is not in there
        is 0."""
        return self._flushed[lane] + self._counts[lane]

    async def flush(self) -> None:
        """Write what has gathered. Rows that the store does not take are kept for the next flush."""
        counts = {lane: counted for lane, counted in self._counts.items() if counted}
        self._flushed.update((lane, self._flushed[lane] + counted) for lane, counted in counts.items())
        self._counts.update((lane, Counter()) for lane in counts)
        if counts:
            _log_completed(counts)
            await self._add_to_minutes(counts)
        await self._record()

    async def _add_to_minutes(self, counts: dict[str, Counter[str]]) -> None:
        minute = int(datetime.now(UTC).timestamp() // 60)
        pipe = self._redis.pipeline(transaction=False)
        for lane, counted in counts.items():
            key = self._keys.minutes(lane, minute // 60)
            for what, count in counted.items():
                pipe.hincrby(key, f"{minute}:{what}", count)
            pipe.expire(key, self._keys.ttl or MINUTES_TTL_SECONDS)
        try:
            async with call_timeout():
                await pipe.execute()
        except (RedisError, OSError):
            log.debug("minutes.write_failed")  # the charts show a gap, and nothing else depends on them

    async def _record(self) -> None:
        rows = [row for rings in self._rings.values() for row in (*rings.failed, *rings.completed)]
        if not rows:
            return
        taken, self._rings = self._rings, self._empty_rings()
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self._store.record(rows)
        except Exception as error:
            log.warning("history.write_failed", rows=len(rows), error=type(error).__name__)
            self._rings = {lane: rings.extended_by(self._rings[lane]) for lane, rings in taken.items()}


def _log_completed(counts: dict[str, Counter[str]]) -> None:
    done = {lane: counted["done"] for lane, counted in counts.items() if counted["done"]}
    if done:
        log.info("jobs.completed", jobs=sum(done.values()), **done)
