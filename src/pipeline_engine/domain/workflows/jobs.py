"""Has the due steps of an account performed at a time."""

from __future__ import annotations

import math
from datetime import datetime

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import STEP
from pipeline_engine.lanes import NewJob

RACE_SECONDS = 0.1
"""After this time a job that was just ending has ended."""
TIMER_STEPS_PER_SECOND = 4


async def wake_steps_at(app: App, account_id: ObjectId, moment: datetime, now: datetime) -> None:
    """Have the account's due steps performed at the moment, beside the job that may be waiting or running now."""
    place = math.ceil(moment.timestamp() * TIMER_STEPS_PER_SECOND)
    delay = max(RACE_SECONDS, place / TIMER_STEPS_PER_SECOND - now.timestamp())
    job = NewJob(STEP.name, (str(account_id),), id=f"{account_id}:{place}")
    await app.queue.enqueue_many(STEP.lane.name, [job], delay=delay)
