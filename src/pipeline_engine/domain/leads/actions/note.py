"""Writes a note on the lead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pipeline_engine.domain.leads.config import NoteConfig
from pipeline_engine.domain.leads.pinned import pinned
from pipeline_engine.domain.leads.work import Entry, Performed, Results, Slice, failed
from pipeline_engine.domain.leads.write_documents import write_documents


async def act(slice: Slice, entries: Sequence[Entry]) -> AsyncIterator[Results]:
    config = await pinned(slice, entries, NoteConfig)
    fields = [{"text": config.text, "created_by": entry.row.get("created_by")} for entry in entries]
    refused = await write_documents(slice, "notes", entries, fields)
    yield [
        (entry, failed(f"the note cannot be written: {refused[entry.id]}") if entry.id in refused else Performed())
        for entry in entries
    ]
