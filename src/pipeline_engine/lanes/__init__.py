"""Lanes: named queues in Redis with places, retries, rates and priorities. They only dispatch; MongoDB holds the truth.

    codec = Codec(key)                                      # 32 bytes; jobs are msgpack with a keyed digest
    redis = connect(url)                                    # a pool with time-outs, keep-alive and retries
    queue = LaneQueue(redis, codec, prefix="pe:", ttl=None) # run-once: prefix="pe:once:<id>:", ttl=3600

    await queue.enqueue(lane.name, "import.plan", queue_id, id=f"import:{queue_id}:{attempt}")  # bool: False = is there
    await queue.enqueue_many(lane.name, [NewJob("import.rows", (chunk_id,), id=chunk_id), ...]) # int: how many were new
    await queue.pause(lane) · resume(lane) · counts([lane, ...]) · clean(lane, "waiting" | "delayed") · minutes(lane)
    arq's own client:  ArqRedis(pool, codec.serialize, codec.deserialize, default_queue_name=queue.keys.inbox(lane))

    async def plan(context: Context[App], queue_id: str) -> Outcome | None:     # None means Done()
        context.app          what the daemon gave the worker_pool
        context.job          Job(lane, id, function, attempt, crashes, enqueued_at)
        return Done() | Retry(error, after=None) | Snooze(after=0.0, first=False) | Dead(error)

    worker_pool = WorkerPool(url, queue, lanes=[LANES["deals.import"], ...], handlers={"import.plan": plan}, app=app,
                store=store, hooks=[...], lease=15.0, look_every=1.0)    # frugal: look_every=300.0
    await worker_pool.start()
    await worker_pool.drain(grace=20.0)             # never raises; at most grace + 5 s, with or without Redis
    worker_pool.degraded · worker_pool.stats()

A handler may also raise: `Transient` and anything unknown are retried as the lane says, `RateLimited` and `Unreachable`
come back without using up an attempt, `Permanent` and `ConfigError` go to the dead letters, `LeaseLost` ends quietly.
`store` is a `JobStore`: `record(rows: Sequence[HistoryRow])` and `save_dead_letter(letter: DeadLetter)`,
which keeps one letter per (lane, job id) when it is called twice. A hook is
`async def hook(finished: Finished) -> None`
with `finished.job`, `.outcome`, `.ms`, `.error`; it runs after the outcome is settled and may fail without harm.

How it works: `worker.py` (one lane in one daemon) and `scripts/step.lua` (its one round trip) are the heart;
`runner.py` runs one job; `worker_pool.py` keeps leases, doorbell and safety net; `keys.py` lists every Redis key.
"""

from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.codec import Codec, Refused
from pipeline_engine.lanes.connection import connect
from pipeline_engine.lanes.job import Context, Finished, Handler, Hook, Job, NewJob, Priority
from pipeline_engine.lanes.job_kind import JobKind
from pipeline_engine.lanes.job_store import DeadLetter, HistoryRow, JobStore
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.outcome import Dead, Done, Outcome, Retry, Snooze
from pipeline_engine.lanes.queue import Counts, LaneQueue
from pipeline_engine.lanes.rate import Rate
from pipeline_engine.lanes.rate_limiter import Grant, RateLimiter
from pipeline_engine.lanes.retention import Retention
from pipeline_engine.lanes.table import LANES
from pipeline_engine.lanes.worker_pool import LaneStats, WorkerPool

__all__ = [
    "LANES",
    "Backoff",
    "Codec",
    "Context",
    "Counts",
    "Dead",
    "DeadLetter",
    "Done",
    "Finished",
    "Grant",
    "Handler",
    "HistoryRow",
    "Hook",
    "Job",
    "JobKind",
    "JobStore",
    "Lane",
    "LaneQueue",
    "LaneStats",
    "NewJob",
    "Outcome",
    "Priority",
    "Rate",
    "RateLimiter",
    "Refused",
    "Retention",
    "Retry",
    "Snooze",
    "WorkerPool",
    "connect",
]
