"""Deal automations."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.job import RUN
from pipeline_engine.domain.automations.run import run_slice
from pipeline_engine.lanes import Context, Handler, Outcome
from pipeline_engine.workers.resting import resting


def handlers() -> dict[str, Handler[App]]:
    async def automation_run(context: Context[App], automation_id: str) -> Outcome | None:
        return await run_slice(context.app, ObjectId(automation_id))

    return {RUN: resting(automation_run)}
