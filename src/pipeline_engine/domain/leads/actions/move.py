"""Moves the lead to another stage, or ends its run as won or lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.change_leads import change_leads
from pipeline_engine.domain.leads.config import MoveConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.schedule import RunEnd
from pipeline_engine.domain.leads.work import Closed, Entry, Moved, Performed, Results, Slice
from pipeline_engine.repos.deal_change import DealChange


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, MoveConfig)
    if config.stage_id:
        yield [(entry, Moved(config.stage_id)) for entry in entries]
        return
    changed = await change_leads(slice, entries, DealChange(set={"status": config.outcome, "exit_seen": True}))
    end = Closed(RunEnd("completed", config.outcome))
    yield [(entry, end if isinstance(result, Performed) else result) for entry, result in changed]
