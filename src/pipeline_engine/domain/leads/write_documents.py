"""Actions that write a document beside the lead, under an id that a repeat derives again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.domain.leads.work import Entry, Slice
from pipeline_engine.ids import derived_id


async def write_documents(
    slice: Slice, collection: str, entries: Sequence[Entry], fields: Sequence[Mapping[str, Any]]
) -> dict[Any, str]:
    """Insert a document with these fields for each entry. Returns {entry id: why} of those that were refused."""
    now = slice.app.clock.now()
    documents = [
        {
            "_id": document_id(collection, entry),
            "account_id": slice.account_id,
            "lead_id": entry.lead["_id"],
            "automation": entry.id,
            **own,
            "createdAt": now,
            "updatedAt": now,
        }
        for entry, own in zip(entries, fields, strict=True)
    ]
    refused = await slice.app.repos.written_for_leads(collection).insert(documents)
    return {entries[place].id: why for place, why in refused.items()}


def document_id(collection: str, entry: Entry) -> Any:
    """The `_id` of the document that the entry's current action writes."""
    return derived_id(collection, entry.id, entry.sequence, entry.document.get("repeats") or 0)
