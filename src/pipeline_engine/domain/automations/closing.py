"""Closes the log of a batch from what the deals themselves say. So a crash never loses a log, and a log never lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Guarded
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.tags import tags_of

Document = Mapping[str, Any]


async def close(app: App, automation: Automation, log: Document) -> tuple[int, int]:
    """Write down which deals of the batch were done and which failed. Returns how many of each."""
    deals = await app.automation_deals.marks(log["account_id"], log["deals"])
    settled = [deal for deal in deals if _of_this_entry(automation, log, deal)]
    done = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_triggered") or ())]
    broken = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_failed") or ())]
    messages = await _messages(app, automation, broken)
    extra = _tag(automation)
    success = [{"deal": deal, **extra} for deal in done]
    failed = [{"deal": deal, **extra, "message": messages.get(deal, "failed")} for deal in broken]
    if done and _moves(automation):
        await app.events.publish(_moved(automation, log, done))
    await app.automation_logs.close(dict(log), success, failed)
    return len(success), len(failed)


def _of_this_entry(automation: Automation, log: Document, deal: Document) -> bool:
    """Under `per_entry` a mark may be of an earlier time in the stage."""
    if automation.reentry == "once" or "entries" not in log:
        return True
    entry = dict(zip(log["deals"], log["entries"], strict=True))[deal["_id"]]
    marked = (deal.get("automation_generation") or {}).get(str(automation.id))
    return isinstance(marked, Mapping) and marked.get("entry") == entry


async def _messages(app: App, automation: Automation, deals: Sequence[ObjectId]) -> dict[ObjectId, str]:
    parked = await app.automation_units.parked(automation.account_id, automation.id, deals)
    return {unit["deal_id"]: unit["last_error"] for unit in parked}


def _tag(automation: Automation) -> dict[str, Any]:
    return {"tag_id": tags_of(automation)[0]} if automation.type in ("add_tag", "remove_tag") else {}


def _moves(automation: Automation) -> bool:
    action = ACTIONS[automation.type]
    return isinstance(action, Guarded) and action.moves


def _moved(automation: Automation, log: Document, deals: Sequence[ObjectId]) -> dict[str, Any]:
    """One event for the batch, with its ids."""
    data = {"deals": list(deals), "from": automation.stage_id, "to": automation.reference("target_stage_id")}
    return {
        "_id": f"deal.stage_changed:{log['_id']}",
        "type": "deal.stage_changed",
        "account_id": automation.account_id,
        "user_id": automation.created_by,
        "data": {**data, "automation": automation.id},
        "occurred_at": log["createdAt"],
    }
