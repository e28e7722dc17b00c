"""Lanes: named queues in Redis with places, retries, rates and priorities. They only dispatch; MongoDB holds the truth.

    codec = Codec(key)                                      # 32 bytes; jobs are msgpack with a keyed digest
    redis = connect(url)                                    # a pool with time-outs, keep-alive and retries
    queue = LaneQueue(redis, codec, prefix="pe:", ttl=None) # run-once: prefix="pe:once:<id>:", ttl=3600

    await queue.enqueue(lane.name, "import.plan", queue_id, id=f"import:{queue_id}:{attempt}")  # bool: False = is there
    await queue.enqueue_many(lane.name, [NewJob("import.rows", (chunk_id,), id=chunk_id), ...]) # int: how many were new
    await queue.pause(lane) · resume(lane) · counts([lane, ...]) · clean(lane, "waiting" | "delayed") · minutes(lane)
    arq's own client:  ArqRedis(pool, codec.serialize, codec.deserialize, default_queue_name=queue.keys.inbox(lane))

    async def plan(context: Context[App], queue_id: str) -> Outcome | None:     # None means Done()
        context.app          what the daemon gave the crew
        context.job          Job(lane, id, function, attempt, crashes, enqueued_at)
        return Done() | Retry(error, after=None) | Release(after=0.0, first=False) | Dead(error)

    crew = Crew(url, queue, lanes=[LANES["deals.import"], ...], handlers={"import.plan": plan}, app=app, ledger=ledger,
                hooks=[...], lease=15.0, look_every=1.0)    # frugal: look_every=300.0
    await crew.start()
    await crew.drain(grace=20.0)                            # never raises; at most grace + 5 s, with or without Redis
    crew.degraded · crew.stats()

A handler may also raise: `Transient` and anything unknown are retried as the lane says, `RateLimited` and `Unreachable`
come back without using up an attempt, `Permanent` and `ConfigError` go to the dead letters, `Stale` ends quietly.
`ledger` is a `Ledger`: `record(rows: Sequence[HistoryRow])` and `bury(letter: DeadLetter)`; `bury` may be called twice
for one death and must then keep one letter per (lane, job id). A hook is `async def hook(finished: Finished) -> None`
with `finished.job`, `.outcome`, `.ms`, `.error`; it runs after the outcome is settled and may fail without harm.

How it works: `worker.py` (one lane in one daemon) and `scripts/step.lua` (its one round trip) are the heart;
`runner.py` runs one job; `crew.py` keeps leases, doorbell and safety net; `keys.py` lists every Redis key.
"""

from pipeline_engine.lanes.allowance import Allowance, Granted
from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.codec import Codec, Refused
from pipeline_engine.lanes.connection import connect
from pipeline_engine.lanes.crew import Crew, LaneStats
from pipeline_engine.lanes.job import Context, Finished, Handler, Hook, Job, NewJob, Priority
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.ledger import DeadLetter, HistoryRow, Ledger
from pipeline_engine.lanes.outcome import Dead, Done, Outcome, Release, Retry
from pipeline_engine.lanes.queue import Counts, LaneQueue
from pipeline_engine.lanes.rate import Rate
from pipeline_engine.lanes.retention import Retention
from pipeline_engine.lanes.table import LANES

__all__ = [
    "LANES",
    "Allowance",
    "Backoff",
    "Codec",
    "Context",
    "Counts",
    "Crew",
    "Dead",
    "DeadLetter",
    "Done",
    "Finished",
    "Granted",
    "Handler",
    "HistoryRow",
    "Hook",
    "Job",
    "Lane",
    "LaneQueue",
    "LaneStats",
    "Ledger",
    "NewJob",
    "Outcome",
    "Priority",
    "Rate",
    "Refused",
    "Release",
    "Retention",
    "Retry",
    "connect",
]
