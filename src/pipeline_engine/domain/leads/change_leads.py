"""Actions that change the lead itself: effect and mark are one guarded update, so a replay matches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.domain.leads.work import Entry, Performed, Result, Results, Slice, failed
from pipeline_engine.repos.deal_change import DealChange


async def change_leads(slice: Slice, entries: Sequence[Entry], change: DealChange) -> Results:
    """Change the leads of the entries, each at most once for this action."""
    documents = [entry.document for entry in entries]
    changed = await slice.app.repos.leads.apply_change(slice.account_id, documents, entries[0].sequence, change)
    refused = {str(id): why for id, why in changed.refused.items()}
    return [(entry, _result(refused.get(str(entry.document["lead_id"])))) for entry in entries]


def _result(refusal: str | None) -> Result:
    return failed(f"the lead cannot be changed: {refusal}") if refusal else Performed()
