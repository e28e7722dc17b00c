"""The records that a step's template may name, and short texts that are filled in with them."""

from __future__ import annotations

from pipeline_engine.domain.messages.merge_fields import FIELDS_OF, MergeRecords, merge_fields
from pipeline_engine.domain.workflows.step import StepRun


async def merge_records(run: StepRun) -> MergeRecords:
    """The contact and, where the enrolment has them, deal and lead."""
    records: MergeRecords = {"contact": await run.contact()}
    if deal := await run.record("deal"):
        records["deal"] = deal
    if lead := await run.record("lead"):
        records["lead"] = lead
    return records


async def fill_in(run: StepRun, texts: dict[str, str]) -> dict[str, str]:
    """The texts with their variables filled in. Raises: Permanent, or RateLimited, when they cannot be."""
    if not any("{{" in text or "{%" in text for text in texts.values()):
        return texts
    account = await run.app.shared.accounts.whole(run.account_id)
    fields = merge_fields(account, **await merge_records(run))
    known = {name: FIELDS_OF[name] for name in fields}
    (filled,) = await run.app.renderer.render(texts, [fields], known, run.account_id)
    if isinstance(filled, Exception):
        raise filled
    return {name: filled[name] for name in texts}
