"""Waits: nothing happens to the lead until the time that was set when the run came here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.config import read_config
from pipeline_engine.domain.leads.work import Entry, Performed, Results, Slice


async def act(_slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    read_config(entries[0].row)  # a wait that cannot be read was due at once, and is refused here
    yield [(entry, Performed()) for entry in entries]
