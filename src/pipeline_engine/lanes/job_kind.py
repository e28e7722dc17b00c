"""A kind of job, declared once: sweeps enqueue its units by id, and its handler reads the id back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pipeline_engine.lanes.job import NewJob
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.queue import LaneQueue

Id = TypeVar("Id")

RACE_SECONDS = 0.1
"""After this time a job that was just ending has ended."""
TIMER_STEPS_PER_SECOND = 4
MAX_ID_CHARS = 1000


@dataclass(frozen=True, slots=True)
class JobKind(Generic[Id]):
    """One kind of job: its name in Redis, its lane, and how the id of its unit is read back from a job's only argument.

    For every id that is enqueued, `read_id(str(id)) == id`.
    """

    name: str
    lane: Lane
    read_id: Callable[[str], Id]
    collection: str = ""
    """Where the unit's document is; empty where the id itself names the collection."""

    def can_name(self, id: object) -> bool:
        """Whether a job can name the unit of this id: a text where an ObjectId is wanted cannot be read back, and a job
        has no room for a very long one."""
        try:
            return bool(self.read_id(str(id)) == id) and len(str(id)) <= MAX_ID_CHARS
        except Exception:
            return False

    def job(self, id: Id) -> NewJob:
        """The job of one unit. Its job id is the unit's id, so the same unit waits or runs only once in its lane."""
        return NewJob(self.name, (str(id),), id=str(id))

    async def enqueue(self, queue: LaneQueue, ids: Iterable[Id]) -> int:
        """Put the jobs of these units into the lane. Returns how many are new there, 0 for no ids.

        Raises: Unreachable when Redis does not answer.
        """
        return await queue.enqueue_many(self.lane.name, [self.job(id) for id in ids])

    async def wake_at(self, queue: LaneQueue, id: Id, moment: datetime, now: datetime) -> None:
        """Have the unit's job run at the moment, up to 0.25 s later, beside one that waits or runs. Raises: Unreachable
        when Redis does not answer."""
        step = math.ceil(moment.timestamp() * TIMER_STEPS_PER_SECOND)
        delay = max(RACE_SECONDS, step / TIMER_STEPS_PER_SECOND - now.timestamp())
        await queue.enqueue_many(self.lane.name, [NewJob(self.name, (str(id),), id=f"{id}:{self.name}:{step}")], delay)

    async def wake(self, queue: LaneQueue, id: Id) -> None:
        """Have the unit's job run now. A run that has begun may not see what made the wake-up necessary, and a unit of
        this id may have a job of another kind in the lane: then another begins soon, beside it or after it. Raises:
        Unreachable when Redis does not answer."""
        if not await self.enqueue(queue, [id]):
            job = NewJob(self.name, (str(id),), id=f"{id}:{self.name}:again")
            await queue.enqueue_many(self.lane.name, [job], RACE_SECONDS, duplicates="latest")
