"""Takes up a clone that failed or was cancelled, or that rests between two runs."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.look_up import look_up
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.funnel_repos import FunnelRepos


async def retry(app: App[FunnelRepos], funnel_id: ObjectId) -> None:
    """Make it due now. Steps that are done stay done; after it had failed, all its runs lie before it.

    Raises: Permanent `not_found` or `not_ended`.
    """
    if await app.repos.funnels.retry(funnel_id) is None:
        await look_up(app, funnel_id)
        raise Permanent(f"funnel {funnel_id}: only a clone that failed or was cancelled is tried again", "not_ended")
