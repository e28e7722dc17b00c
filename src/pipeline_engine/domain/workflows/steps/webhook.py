"""Posts to one of the account's webhooks: what the step says, with contact and workflow."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline_engine.domain.workflows.step import RecordId, StepConfig, StepPassed, StepRun
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.webhook_deliveries import NewDelivery

TYPE = "workflow.step"
"""The `type` of the message, as `crm_events` types are for other messages."""


class WebhookCall(StepConfig):
    """`data` is sent as it is, beside the ids of contact, deal, workflow and enrolment."""

    webhook_id: RecordId
    data: dict[str, Any] = Field(default_factory=dict)


async def perform(run: StepRun, config: WebhookCall) -> StepPassed:
    await run.contact()
    await _check(run, config)
    one = run.enrollment
    ids = {name: str(one[name]) for name in ("contact_id", "deal_id", "lead_id", "workflow_id") if one.get(name)}
    payload = {"occurred_at": run.arrived_at(), "data": {**config.data, **ids, "enrollment_id": str(one["_id"])}}
    delivery = NewDelivery(run.account_id, config.webhook_id, run.unit_key, TYPE, payload)
    # The delivery is due at once; the lane of webhooks sees to it, and the run does not wait for the answer.
    await run.app.repos.webhook_deliveries.add([delivery])
    return StepPassed("handed to the webhook")


async def _check(run: StepRun, config: WebhookCall) -> None:
    found = await run.app.repos.workflow_records.read("webhooks", run.account_id, [config.webhook_id], ["active"])
    if not found:
        raise Permanent(f"this account has no webhook {config.webhook_id}", "missing_webhook")


async def rehearse(run: StepRun, config: WebhookCall) -> str:
    await _check(run, config)
    return f"would post to webhook {config.webhook_id}"
