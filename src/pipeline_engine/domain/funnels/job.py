"""The jobs of a clone, as they go into their lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import LANES, NewJob

PLAN, STEP = "funnel.plan", "funnel.step"
PLANS, STEPS = LANES["funnels_clone"].name, LANES["funnels_clone_step"].name

log = logs.get(__name__)


def unit_of(funnel: Mapping[str, Any]) -> Unit:
    """A clone that is to be planned."""
    id = str(funnel["_id"])
    return Unit(id, str(funnel.get("account_id")), PLANS, NewJob(PLAN, (id,), id=id))


async def dispatch_steps(app: App, steps: Sequence[ObjectId]) -> None:
    """Put steps into their lane. One that waits or runs there stays as it is."""
    try:
        await app.queue.enqueue_many(STEPS, [NewJob(STEP, (str(id),), id=str(id)) for id in steps])
    except Unreachable as error:
        # They stand in MongoDB: they are dispatched again until somebody has done them.
        log.warning("steps not dispatched", steps=len(steps), error=error)
