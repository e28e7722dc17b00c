"""The jobs of funnel cloning and their lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Backoff, JobKind, Lane

# The documents count crashes.
CLONE = JobKind(
    "funnel.plan", Lane("funnels_clone", 3, Backoff.fixed(4), timeout=1800, crashes=None), ObjectId, "funnels"
)
STEP = JobKind(
    "funnel.step", Lane("funnels_clone_step", 5, Backoff.fixed(4), timeout=600, crashes=None), ObjectId, "funnel.step"
)
END = JobKind("funnel.end", STEP.lane, ObjectId, "funnels")
"""Ends a clone when the process that ended its last step died before it could."""

log = logs.get(__name__)


async def dispatch_steps(app: App[Any], steps: Sequence[ObjectId]) -> None:
    """Enqueue a job per step, unless it waits or runs already.

    Raises nothing when Redis is away: the sweep tries again.
    """
    try:
        await STEP.enqueue(app.queue, steps)
    except Unreachable as error:
        # The steps are stored in MongoDB, where the sweep finds them until they are done.
        log.warning("steps.not_dispatched", steps=len(steps), error=error)
