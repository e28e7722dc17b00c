"""Deal import."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.domain.imports.open_chunks import ROWS
from pipeline_engine.domain.imports.plan import plan
from pipeline_engine.domain.imports.rows import run_chunk
from pipeline_engine.domain.imports.sweep import PLAN
from pipeline_engine.lanes import Context, Handler, Outcome
from pipeline_engine.workers.resting import resting


def handlers(cache: ImportCache) -> dict[str, Handler[App]]:
    async def import_plan(context: Context[App], import_id: str) -> Outcome | None:
        return await plan(context.app, cache, ObjectId(import_id))

    async def import_rows(context: Context[App], chunk_id: str) -> Outcome | None:
        return await run_chunk(context.app, cache, chunk_id)

    return {PLAN: resting(import_plan), ROWS: resting(import_rows)}
