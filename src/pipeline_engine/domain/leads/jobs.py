"""The jobs of lead pipelines: each works for one account, for a slice of time, in one of four lanes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.lanes import Backoff, JobKind, Lane, NewJob

RACE_SECONDS = 0.1
"""After this time a job that was just ending has ended."""
TIMER_STEPS_PER_SECOND = 4


def _lane(name: str, places: int) -> Lane:
    # Entries count attempts and crashes; a job that failed is only a way to look again.
    return Lane(f"leads.{name}", places, Backoff.doubling(4, 60), attempts=5, crashes=None)


ENTER = JobKind("lead.enter", _lane("enter", 25), ObjectId, "_accounts")
INTERNAL = JobKind("lead.act", _lane("internal", 8), ObjectId, "_accounts")
EMAIL = JobKind("lead.email", _lane("email", 5), ObjectId, "_accounts")
SMS = JobKind("lead.sms", _lane("sms", 5), ObjectId, "_accounts")
EXITS = JobKind("lead.exits", _lane("exits", 1), str)
EXITS_ID = "exits"

ACTING: dict[str, JobKind[ObjectId]] = {"internal": INTERNAL, "email": EMAIL, "sms": SMS}
"""By lane of an action (`current_lane`): the kind of job that performs it."""


async def wake(app: App, kinds: Iterable[JobKind[ObjectId]], account_id: ObjectId) -> None:
    """Have these jobs of the account run now. A job that is about to end may not see what made the wake-up necessary,
    so another follows it."""
    for kind in kinds:
        if not await kind.enqueue(app.queue, [account_id]):
            job = NewJob(kind.name, (str(account_id),), id=f"{account_id}:again")
            await app.queue.enqueue_many(kind.lane.name, [job], delay=RACE_SECONDS)


async def wake_at(app: App, kind: JobKind[ObjectId], account_id: ObjectId, moment: datetime, now: datetime) -> None:
    """Have the account's job run at the moment, beside the job that may be waiting or running now."""
    step = math.ceil(moment.timestamp() * TIMER_STEPS_PER_SECOND)
    delay = max(RACE_SECONDS, step / TIMER_STEPS_PER_SECOND - now.timestamp())
    job = NewJob(kind.name, (str(account_id),), id=f"{account_id}:{step}")
    await app.queue.enqueue_many(kind.lane.name, [job], delay=delay)
