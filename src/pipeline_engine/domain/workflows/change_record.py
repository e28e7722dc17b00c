"""Steps that change the contact: an update that changes nothing when it is repeated, then the event of the change."""

from __future__ import annotations

from typing import Any

from pipeline_engine.domain.events.relay import crm_event
from pipeline_engine.domain.workflows.step import StepPassed, StepRun
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.deal_change import DealChange


async def change_contact(run: StepRun, change: DealChange, unless: dict[str, Any], *fields: str) -> StepPassed:
    """Change the contact unless it stands as it should. The step that changed it publishes `contact.updated`."""
    contact = await run.contact()
    if run.claim:
        run.claim.check()
    records = run.app.repos.workflow_records
    changed, refusal = await records.change("contacts", run.account_id, contact["_id"], change, unless)
    if refusal:
        raise Permanent(f"the contact cannot be changed: {refusal}", "refused")
    # An attempt that died behind the change has published nothing, and finds nothing to change now.
    if not changed and not run.is_repeated:
        return StepPassed("nothing to change")
    return StepPassed("changed " + ", ".join(fields), events=[updated(run, contact["_id"], fields)])


def updated(run: StepRun, contact_id: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    """An entry of `events_due`: the contact was changed. Its cause is the event that enrolled the contact."""
    one = run.enrollment
    workflow = {"workflow_id": str(one["workflow_id"]), "enrollment_id": str(one["_id"]), "source": "workflow"}
    data = {"contact_id": str(contact_id), "fields": list(fields), **workflow}
    cause = {"event_id": one.get("event_id"), "depth": int(one.get("depth") or 0) + 1}
    return {**crm_event(run.unit_key, "contact.updated", None, data), "cause": cause}
