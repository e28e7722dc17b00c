"""Adds one or several tags."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.change_leads import change_leads
from pipeline_engine.domain.leads.config import TagsConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.work import Entry, Results, Slice
from pipeline_engine.repos.deal_change import DealChange


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, TagsConfig)
    yield await change_leads(slice, entries, DealChange(add={"tags": config.tags}))
