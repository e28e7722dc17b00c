"""Gives the lead to another owner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.change_leads import change_leads
from pipeline_engine.domain.leads.config import OwnerConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.work import Entry, Results, Slice
from pipeline_engine.repos.deal_change import DealChange


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, OwnerConfig)
    yield await change_leads(slice, entries, DealChange(set={"owner": config.owner_id}))
