"""Documents of a batch with which processes die, or on which our code fails: each is worked off alone, and given up in
the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.lanes.classify_error import brief, where
from pipeline_engine.repos.leased_in_batches import LeasedInBatches

MAX_CRASHES = 5
"""Holders in a row that may die with a document before it is given up."""
SUSPICIOUS_CRASHES = 2
"""From so many on, a document is worked off alone, so that it takes no others with it."""

Document = Mapping[str, Any]

log = logs.get(__name__)


async def apart(repo: LeasedInBatches, account_id: ObjectId, claimed: Sequence[Document]) -> Sequence[Document]:
    """The claimed documents; of those with which several holders have died, only one, and nothing beside it."""
    suspicious = [one for one in claimed if one.get("crashes", 0) >= SUSPICIOUS_CRASHES]
    if not suspicious or len(claimed) == 1:
        return claimed
    others = [one["_id"] for one in claimed if one is not suspicious[0]]
    await repo.release_many(account_id, claimed[0]["claim_id"], others, crashes=None)
    return suspicious[:1]


def crashed_too_often(document: Document) -> str | None:
    """Why the document is given up; None while it may be worked off."""
    if document.get("crashes", 0) < MAX_CRASHES:
        return None
    return f"the process ended {MAX_CRASHES} times in a row while it worked on this"


@asynccontextmanager
async def setting_faults_aside(
    repo: LeasedInBatches, account_id: ObjectId, claimed: Sequence[Document], noun: str
) -> AsyncIterator[None]:
    """Within, these claimed documents are worked off. When that fails because of what stands in one of them, each is
    worked off alone from then on, and one that fails alone is set aside."""
    try:
        yield
    except Exception as error:
        if not blames_document(error):
            raise
        ids = [one["_id"] for one in claimed]
        facts = {"account_id": str(account_id), "documents": len(ids)}
        log.warning(f"{noun}.batch_failed", **facts, error=brief(error), where=where(error))
        if len(ids) == 1:
            await repo.set_aside(ids[0], f"cannot be worked off: {brief(error)}")
        await repo.release_many(account_id, claimed[0]["claim_id"], ids, crashes=SUSPICIOUS_CRASHES)
