"""Has the job of an endpoint run now or at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.jobs import POST
from pipeline_engine.lanes import NewJob

RACE_SECONDS = 0.1
"""After this time a job that was just ending has ended."""
TIMER_STEPS_PER_SECOND = 4


async def wake(app: App, webhook_ids: Iterable[ObjectId]) -> None:
    """Deliver to these endpoints now. A job that is about to end may not see what is new, so another follows it."""
    for id in webhook_ids:
        if not await POST.enqueue(app.queue, [id]):
            job = NewJob(POST.name, (str(id),), id=f"{id}:again")
            await app.queue.enqueue_many(POST.lane.name, [job], delay=RACE_SECONDS)


async def wake_at(app: App, webhook_id: ObjectId, moment: datetime) -> None:
    """Deliver to the endpoint at the moment, beside the job that may be waiting or running now."""
    step = math.ceil(moment.timestamp() * TIMER_STEPS_PER_SECOND)
    delay = max(RACE_SECONDS, step / TIMER_STEPS_PER_SECOND - app.clock.now().timestamp())
    job = NewJob(POST.name, (str(webhook_id),), id=f"{webhook_id}:{step}")
    await app.queue.enqueue_many(POST.lane.name, [job], delay=delay)
