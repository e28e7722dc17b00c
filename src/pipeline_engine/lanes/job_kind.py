"""A kind of job, as the systems declare theirs: its name, its lane, and the id of the unit that it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline_engine.lanes.job import NewJob
from pipeline_engine.lanes.lane import Lane
from pipeline_engine.lanes.queue import LaneQueue

Id = TypeVar("Id")


@dataclass(frozen=True, slots=True)
class JobKind(Generic[Id]):
    """One kind of job: its name in Redis, its lane, and how a unit's id is read back from the job's only argument."""

    name: str
    lane: Lane
    read_id: Callable[[str], Id]

    def job(self, id: Id) -> NewJob:
        """The job of a unit, under the unit's own id: its lane holds it once, however often it is enqueued."""
        return NewJob(self.name, (str(id),), id=str(id))

    async def enqueue(self, queue: LaneQueue, ids: Iterable[Id]) -> int:
        """Put the jobs of these units into the lane. Returns how many are new there. Raises: Unreachable."""
        jobs = [self.job(id) for id in ids]
        return await queue.enqueue_many(self.lane.name, jobs) if jobs else 0
