"""Entries with which processes die, or on which our code fails: each is worked off alone, and given up in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pipeline_engine import logs
from pipeline_engine.domain.claimed import MAX_CRASHES, blames_document
from pipeline_engine.domain.leads.work import Document, Slice
from pipeline_engine.lanes.classify_error import brief, where

SUSPICIOUS_CRASHES = 2
"""From so many on, an entry is worked off alone, so that it takes no others with it."""
MAX_LEAD_CRASHES = SUSPICIOUS_CRASHES + MAX_CRASHES
"""Holders in a row that may die with an entry, the last ones with it alone, before its action has failed."""

log = logs.get(__name__)


async def apart(slice: Slice, claimed: Sequence[Document]) -> Sequence[Document]:
    """The claimed entries; of those with which several holders have died, only one, and nothing beside it."""
    suspicious = [one for one in claimed if one.get("crashes", 0) >= SUSPICIOUS_CRASHES]
    if not suspicious or len(claimed) == 1:
        return claimed
    others = [one["_id"] for one in claimed if one is not suspicious[0]]
    claim_id = claimed[0]["claim_id"]
    await slice.app.repos.lead_stages.release_many(slice.account_id, claim_id, others, crashes=None)
    return suspicious[:1]


def crashed_too_often(entry: Document) -> str | None:
    """Why the entry is given up; None while it may be worked off."""
    if entry.get("crashes", 0) < MAX_LEAD_CRASHES:
        return None
    return f"the process ended {MAX_LEAD_CRASHES} times in a row while it worked on this lead"


@asynccontextmanager
async def setting_faults_aside(slice: Slice, claimed: Sequence[Document]) -> AsyncIterator[None]:
    """Within, these claimed entries are worked off. When that fails because of what stands in one of them, each is
    worked off alone from then on, and one that fails alone is set aside."""
    try:
        yield
    except Exception as error:
        if not blames_document(error):
            raise
        stages, ids = slice.app.repos.lead_stages, [one["_id"] for one in claimed]
        facts = {"account_id": str(slice.account_id), "lane": slice.lane, "leads": len(ids)}
        log.warning("lead.batch_failed", **facts, error=brief(error), where=where(error))
        if len(ids) == 1:
            await stages.set_aside(ids[0], f"cannot be worked off: {brief(error)}")
        await stages.release_many(slice.account_id, claimed[0]["claim_id"], ids, crashes=SUSPICIOUS_CRASHES)
