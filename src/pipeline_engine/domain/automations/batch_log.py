"""Closes the log of a batch from what the deals themselves say. So a crash never loses a log, and a log never lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import InsertDocument, SendMessage, moves
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.unit_outcomes import done
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.automation_repos import AutomationRepos

Document = Mapping[str, Any]


async def close_left_open(app: App[AutomationRepos], automation: Automation) -> None:
    """Finish what earlier runs of the automation, which ended in the middle, have begun to write down."""
    for log in await app.repos.automation_logs.left_open(automation.account_id, automation.id):
        happened = set(await _took_effect(app, automation, log))
        entered = {deal: entry for deal, entry in _entries(log).items() if deal in happened}
        await done(app, automation, entered)
        await close(app, automation, log)


async def _took_effect(app: App[AutomationRepos], automation: Automation, log: Document) -> list[ObjectId]:
    """Deals of the log for which the effect stands by itself, so that its mark may be missing."""
    deals = dict(zip(log.get("units", ()), log["deals"], strict=False))
    match ACTIONS.get(log["type"]):
        case InsertDocument() as action:
            ids = {derived_id(action.collection, unit): deal for unit, deal in deals.items()}
            there = await app.repos.derived(action.collection).there(automation.account_id, automation.id, list(ids))
            return [ids[id] for id in there]
        case SendMessage():
            await app.shared.effects.doubt(automation.account_id, list(deals))
            records = await app.shared.effects.of(automation.account_id, list(deals))
            return [deals[unit] for unit, record in records.items() if record["state"] == "sent"]
    return []


async def close_as_done(app: App[AutomationRepos], automation: Automation, log: Document) -> tuple[int, int]:
    """Write down that all deals of the batch were done, which the server has just said. Returns as `close`."""
    return await _write_down(app, automation, log, log["deals"], {})


async def close(app: App[AutomationRepos], automation: Automation, log: Document) -> tuple[int, int]:
    """Write down which deals of the batch were done and which failed. Returns how many of each."""
    deals = await app.repos.automation_deals.marks(automation.account_id, log["deals"])
    entries = _entries(log)
    settled = [deal for deal in deals if _is_of(entries.get(deal["_id"]), automation, deal)]
    happened = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_triggered") or ())]
    broken = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_failed") or ())]
    messages = await _messages(app, automation, broken)
    return await _write_down(app, automation, log, happened, {deal: messages.get(deal, "failed") for deal in broken})


async def _write_down(
    app: App[AutomationRepos],
    automation: Automation,
    log: Document,
    happened: Sequence[ObjectId],
    broken: Mapping[ObjectId, str],
) -> tuple[int, int]:
    tag = _tag(automation)
    success = [{"deal": deal, **tag} for deal in happened]
    failed = [{"deal": deal, **tag, "message": message} for deal, message in broken.items()]
    if happened and moves(ACTIONS[log["type"]]):
        await app.shared.events.publish(_moved(automation, log, happened))
    await app.repos.automation_logs.close(dict(log), success, failed)
    return len(success), len(failed)


def _is_of(entry: datetime | None, automation: Automation, deal: Document) -> bool:
    """Whether the marks are of this entry: under `per_entry` they may be of an earlier time in the stage."""
    if automation.reentry == "once":
        return True
    marked = (deal.get("automation_generation") or {}).get(str(automation.id))
    return isinstance(marked, Mapping) and marked.get("entry") == entry


def _entries(log: Document) -> dict[ObjectId, datetime]:
    """{deal: when it entered the stage}, where the log tells."""
    return dict(zip(log["deals"], log.get("entries", ()), strict=False))


async def _messages(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[ObjectId]
) -> dict[ObjectId, str]:
    parked = await app.repos.automation_units.parked(automation.account_id, automation.id, deals) if deals else []
    return {unit["deal_id"]: unit["last_error"] for unit in parked}


def _tag(automation: Automation) -> dict[str, Any]:
    if automation.type not in ("add_tag", "remove_tag"):
        return {}
    tags = automation.config.get("tags") or [automation.config.get("tag")]
    return {"tag_id": tags[0] if isinstance(tags, list) else tags}


def _moved(automation: Automation, log: Document, deals: Sequence[ObjectId]) -> dict[str, Any]:
    """One event for the batch, with its ids."""
    data = {"deals": list(deals), "from": log["stage_id"], "to": log["target_stage_id"]}
    return {
        "_id": f"deal.stage_changed:{log['_id']}",
        "type": "deal.stage_changed",
        "account_id": automation.account_id,
        "user_id": automation.created_by,
        "data": {**data, "automation": automation.id},
        "occurred_at": log["createdAt"],
    }
