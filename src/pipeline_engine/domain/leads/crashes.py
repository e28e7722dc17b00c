"""Entries with which processes die: each is worked off alone, and given up after some crashes in a row."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_engine.domain.leads.work import Document, Slice

MAX_CRASHES = 5
"""Holders in a row that may die with an entry before its action has failed."""
SUSPICIOUS_CRASHES = 2
"""From so many on, an entry is worked off alone, so that it takes no others with it."""


async def apart(slice: Slice, claimed: Sequence[Document]) -> Sequence[Document]:
    """The claimed entries; of those with which several holders have died, only one, and nothing beside it."""
    suspicious = [one for one in claimed if one.get("crashes", 0) >= SUSPICIOUS_CRASHES]
    if not suspicious or len(claimed) == 1:
        return claimed
    others = [one["_id"] for one in claimed if one is not suspicious[0]]
    claim_id = claimed[0]["claim_id"]
    await slice.app.repos.lead_stages.release_many(slice.account_id, claim_id, others, unworked=True)
    return suspicious[:1]


def crashed_too_often(entry: Document) -> str | None:
    """Why the entry is given up; None while it may be worked off."""
    if entry.get("crashes", 0) < MAX_CRASHES:
        return None
    return f"the process ended {MAX_CRASHES} times in a row while it worked on this lead"
