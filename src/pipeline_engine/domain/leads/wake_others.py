"""Wakes the jobs for which a slice has made something due."""

from __future__ import annotations

from pipeline_engine.domain.leads.jobs import ENTER, wake
from pipeline_engine.domain.leads.work import Slice


async def wake_others(slice: Slice) -> None:
    """Have the account's jobs run for which the slice has made something due since the last time."""
    kinds, slice.wakes = slice.wakes, set()
    if ENTER in kinds and not await slice.app.repos.lead_stages.any_entering(slice.account_id, slice.where):
        kinds.remove(ENTER)
    await wake(slice.app, kinds, slice.account_id)
