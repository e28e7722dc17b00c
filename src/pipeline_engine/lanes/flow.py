"""Jobs that follow others: a chain, and a group with a final job.

Both live in Redis alone. If it loses its data, what has not started is lost: work that must not be lost has a document
of its own, which a sweep finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline_engine.lanes.job import NewJob, Priority
from pipeline_engine.lanes.queue import BATCH_SIZE, LaneQueue
from pipeline_engine.lanes.script import Script

MAX_STEPS = 100

_chain = Script("chain")
_group = Script("group")


@dataclass(frozen=True, slots=True)
class FlowJob:
    """A job of a chain or a group, and the lane in which it runs."""

    lane: str
    job: NewJob
    priority: Priority = "normal"


async def chain(queue: LaneQueue, steps: Sequence[FlowJob]) -> bool:
    """Enqueue the first job; each other one is enqueued, in its lane, by the step that settles the one before as done.

    A job that becomes a dead letter holds the chain: it goes on when the letter is retried and then done, and ends when
    the letter is discarded or the waiting job cancelled. Returns whether the first job is new. One that waits or runs
    already is not enqueued again, and the chain follows it.

    Raises: ValueError without a step or over 100; Unreachable when Redis does not answer. The chain may run then.
    """
    if not 0 < len(steps) <= MAX_STEPS:
        raise ValueError(f"a chain has 1 to {MAX_STEPS} jobs; given: {len(steps)}")
    jobs, payloads = _sealed(queue, steps)
    return await queue.call(_chain, [], {"jobs": jobs}, *payloads) == 1


async def group(queue: LaneQueue, members: Iterable[FlowJob], final: FlowJob) -> int:
    """Enqueue the members; the final job is enqueued when all of them have ended. Returns how many members are new.

    A member has ended when it is done, cancelled, or its dead letter discarded: until then the final job waits. A
    member that waits or runs already is not enqueued again, and the final job waits for it too. The id of the final job
    names the group: after Unreachable, call again with the same ids.

    Raises: ValueError when the final job has no id; Unreachable when Redis does not answer.
    """
    if final.job.id is None:
        raise ValueError("the final job of a group needs an id")
    key, left = queue.keys.group(final.lane, final.job.id), iter(members)
    (last_job,), last_payload = _sealed(queue, [final])
    batch, new, first = list(islice(left, BATCH_SIZE)), 0, True
    while first or batch:
        following = list(islice(left, BATCH_SIZE))
        jobs, payloads = _sealed(queue, batch)
        ask = {"jobs": jobs, "final": last_job if first else False, "last": not following, "ttl": queue.keys.ttl_ms}
        new += await queue.call(_group, [key], ask, *payloads, *last_payload)
        batch, first = following, False
    return new


def _sealed(queue: LaneQueue, steps: Sequence[FlowJob]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The jobs as lane.lua describes them, and their payloads."""
    sealed = list(queue.seal(step.job for step in steps))
    jobs = [
        {
            "stem": queue.keys.stem(step.lane),
            "lane": step.lane,
            "id": id,
            "priority": step.priority,
            "doorbell": queue.keys.doorbell,
            "ttl": queue.keys.ttl_ms,
        }
        for step, (id, _) in zip(steps, sealed, strict=True)
    ]
    return jobs, [payload for _, payload in sealed]
