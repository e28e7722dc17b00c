"""Documents that a job writes beside its change: under derived ids, so that a repeat writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline_engine import logs
from pipeline_engine.domain.jobs.crm_job import JobWork
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.derived_documents import DerivedDocuments

log = logs.get(__name__)


def stamps(at: datetime) -> Document:
    """The times of a document that follows from a change at this time."""
    return {"createdAt": at, "updatedAt": at}


async def write(work: JobWork, repo: DerivedDocuments, documents: Sequence[Document]) -> None:
    """Insert the documents that are missing. One that the server refuses is logged and left out."""
    for place, reason in (await repo.insert(documents)).items():
        ids = {"account_id": str(work.account_id), "contact_id": str(documents[place].get("contact_id"))}
        log.warning("crm_job.document_refused", **ids, collection=repo.collection, reason=reason)
