"""Lanes: named queues in Redis with places, retries, rates and priorities. A library: it knows no application.

Lanes only dispatch. A job names a unit of work by its id; the truth about that unit is the application's, elsewhere.

    codec = Codec(key)                                      # 32 bytes; jobs are msgpack with a keyed digest
    redis = connect(url)                                    # time-outs, keep-alive and retries
    queue = LaneQueue(redis, codec, prefix="pe:", ttl=None) # with a ttl in seconds, every key expires

    mails = Lane("mails", places=5, backoff=Backoff.steps(1, 5, 30), attempts=4, rate=Rate(jobs=10, seconds=1.0))
    send = JobKind("mails.send", mails, ObjectId)           # its jobs carry the id of a unit, as ObjectId(argument)

    await send.enqueue(queue, mail_ids)                     # int: how many were new; a waiting or running id is not
    await queue.enqueue(lane_name, function, *args, id=..., delay=..., priority="high" | "normal" | "low",
                        duplicates="skip" | "debounce" | "latest")                                          # bool
    await queue.enqueue_many(lane_name, [NewJob(function, (id,), id=id), ...])                              # int
    await queue.cancel(lane_name, id)                       # bool: whether a job that has not started was removed
    await queue.progress(lane_name, id)                     # Progress(done, total) or None

    await chain(queue, [FlowJob("mails", NewJob("a")), FlowJob("texts", NewJob("b"))])      # b when a is done
    await group(queue, [FlowJob("mails", NewJob("a", id=id)), ...], final=FlowJob("mails", NewJob("z", id="z")))

    await queue.pause(lane) · resume(lane) · counts([lane, ...]) · clean(lane, "waiting" | "delayed") · minutes(lane)
    arq's own client:  ArqRedis(pool, codec.serialize, codec.deserialize, default_queue_name=queue.keys.inbox(lane))

    async def send_mail(context: Context[App], mail_id: str) -> Outcome | None:     # None means Done()
        context.app          the object given to the WorkerPool
        context.job          Job(lane, id, function, attempt, crashes, enqueued_at)
        context.progress(done, total)                       # never waits and never fails
        return Done() | Retry(error, after=None) | Snooze(after=0.0, first=False) | Dead(error)

    pool = WorkerPool(url, queue, lanes=[mails, ...], handlers={send.name: send_mail}, app=app, store=store,
                      hooks=[...], lease=15.0, look_every=1.0)
    await pool.start()
    await pool.drain(grace=20.0)                            # never raises; at most grace + 5 s, also without Redis
    pool.degraded · pool.stats()

    limiter = RateLimiter(redis)
    grant = await limiter.acquire(account, "email", limit=60, wanted=10)     # Grant(units, after)

`duplicates` says what becomes of an id that is in the lane already. "skip" leaves the old job. "debounce" lets the new
one take the place of a waiting one and begins its delay anew; "latest" keeps the time at which the waiting one is due.
While the old one runs, the newest of these waits for the end of that run and then starts, whatever became of it.

A job that becomes a dead letter holds its chain and its group until the letter is retried and done, or discarded.
Chains and groups live in Redis alone: when it loses its data, what has not started is lost.

A handler may also raise. `Permanent` and `ConfigError` make the job a dead letter. `RateLimited` and `Unreachable`
bring it back without using an attempt. `LeaseLost` ends it. `Transient` and every other exception are retried as the
lane says.

`store` is a JobStore, to which history and dead letters go. A hook, `async def hook(finished: Finished) -> None`, runs
after the outcome is settled; what it raises is logged.

Start reading at `worker.py` (one lane in one daemon) and `scripts/step.lua` (its one round trip). `runner.py` runs one
job, `flow.py` has chain and group, `maintenance.py` keeps leases, doorbell and safety net, `keys.py` lists every key.
"""

from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.codec import Codec, Refused
from pipeline_engine.lanes.connection import connect
from pipeline_engine.lanes.flow import FlowJob, chain, group
from pipeline_engine.lanes.job import (
    Context,
    Dead,
    Done,
    Duplicates,
    Finished,
    Handler,
    Hook,
    Job,
    NewJob,
    Outcome,
    Priority,
    Retry,
    Snooze,
)
from pipeline_engine.lanes.job_kind import RACE_SECONDS, JobKind
from pipeline_engine.lanes.job_store import DeadLetter, HistoryRow, JobStore
from pipeline_engine.lanes.lane import Lane, Rate, Retention
from pipeline_engine.lanes.progress import Progress
from pipeline_engine.lanes.queue import Counts, LaneQueue
from pipeline_engine.lanes.rate_limiter import Grant, RateLimiter
from pipeline_engine.lanes.redis_problem import refusal
from pipeline_engine.lanes.worker_pool import LaneStats, WorkerPool

__all__ = [
    "RACE_SECONDS",
    "Backoff",
    "Codec",
    "Context",
    "Counts",
    "Dead",
    "DeadLetter",
    "Done",
    "Duplicates",
    "Finished",
    "FlowJob",
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
    "Progress",
    "Rate",
    "RateLimiter",
    "Refused",
    "Retention",
    "Retry",
    "Snooze",
    "WorkerPool",
    "chain",
    "connect",
    "group",
    "refusal",
]
