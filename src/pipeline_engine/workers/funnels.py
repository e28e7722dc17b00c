"""Funnel cloning."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.job import PLAN, STEP
from pipeline_engine.domain.funnels.plan import plan
from pipeline_engine.domain.funnels.step import run_step
from pipeline_engine.lanes import Context, Handler, Outcome
from pipeline_engine.workers.resting import resting


def handlers(cache: CloneCache) -> dict[str, Handler[App]]:
    async def funnel_plan(context: Context[App], funnel_id: str) -> Outcome | None:
        return await plan(context.app, cache, ObjectId(funnel_id))

    async def funnel_step(context: Context[App], step_id: str) -> Outcome | None:
        return await run_step(context.app, cache, ObjectId(step_id))

    return {PLAN: resting(funnel_plan), STEP: resting(funnel_step)}
