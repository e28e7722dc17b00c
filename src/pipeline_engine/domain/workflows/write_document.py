"""Steps that write a document beside the contact, under an id that a repeat derives again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.domain.workflows.step import StepRun
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import derived_id


async def write_documents(run: StepRun, collection: str, documents: Sequence[Mapping[str, Any]]) -> None:
    """Insert the documents, each once for this step of the enrolment. Raises: Permanent when one is refused."""
    if run.claim:
        run.claim.check()
    now, one = run.now, run.enrollment
    about = {name: one[name] for name in ("contact_id", "deal_id") if one.get(name)}
    common = {"account_id": run.account_id, **about, "enrollment_id": one["_id"], "createdAt": now, "updatedAt": now}
    rows = [
        {"_id": derived_id(collection, run.unit_key, place), **common, **own} for place, own in enumerate(documents)
    ]
    refused = await run.app.repos.written_by_workflows(collection).insert(rows)
    if refused:
        raise Permanent(f"{collection}: the document cannot be written: {next(iter(refused.values()))}", "refused")
