"""The log of a batch: opened before the effect, closed from what the deals themselves say. A crash therefore loses no
log, and no log claims what did not happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import InsertDocument, SendMessage, UpdateDeal
from pipeline_engine.domain.automations.actions.table import ACTIONS, moves_deals
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.marks import unit_key
from pipeline_engine.domain.automations.unit_outcomes import done
from pipeline_engine.domain.messages.send_result import OF_ONE_RECIPIENT
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.automation_repos import AutomationRepos

Document = Mapping[str, Any]


async def open_log(
    app: App[AutomationRepos], automation: Automation, run_id: str, deals: Sequence[Document]
) -> Document:
    """Write down that the run is about to try these deals."""
    return await app.repos.automation_logs.open_log(
        automation.account_id,
        [deal["_id"] for deal in deals],
        user=automation.created_by,
        automation=automation.id,
        stage_id=automation.stage_id,
        type=automation.type,
        run_id=run_id,
        **_for_recovery(automation, deals),
    )


def _for_recovery(automation: Automation, deals: Sequence[Document]) -> dict[str, Any]:
    """What a run that finds the log open needs to close it, beyond the marks that are part of the effect."""
    updates = isinstance(ACTIONS[automation.type], UpdateDeal)
    fields: dict[str, Any] = {}
    if moves_deals(automation.type):
        fields["target_stage_id"] = object_id(automation.config.get("target_stage_id"))
    if not updates:
        fields["units"] = [unit_key(automation, deal) for deal in deals]
    if not updates or automation.reentry == "per_entry":
        fields["entries"] = [deal["automation_starts"] for deal in deals]
    return fields


async def close_left_open(app: App[AutomationRepos], automation: Automation) -> bool:
    """Mark what took effect in earlier runs of the automation that ended in the middle, and close their logs.

    Returns whether these runs got anything done, be it for one deal only.
    """
    ended = 0
    for log in await app.repos.automation_logs.find_open(automation.account_id, automation.id):
        happened = set(await _took_effect(app, automation, log))
        await done(app, automation, {deal: entry for deal, entry in _entries(log).items() if deal in happened})
        ended += sum(await close_log(app, automation, log))
    return ended > 0


async def _took_effect(app: App[AutomationRepos], automation: Automation, log: Document) -> list[ObjectId]:
    """Deals of the log whose effect stands apart from the deal, so that their mark may be missing."""
    deals = dict(zip(log.get("units", ()), log["deals"], strict=False))
    match ACTIONS.get(log["type"]):
        case InsertDocument() as action:
            ids = {derived_id(action.collection, unit): deal for unit, deal in deals.items()}
            there = await app.repos.derived(action.collection).existing(automation.account_id, automation.id, list(ids))
            return [ids[id] for id in there]
        case SendMessage():
            await app.shared.effects.mark_unknown(automation.account_id, list(deals))
            records = await app.shared.effects.records(automation.account_id, list(deals))
            return [deals[unit] for unit, record in records.items() if record["state"] == "sent"]
    return []


async def close_log_as_done(app: App[AutomationRepos], automation: Automation, log: Document) -> tuple[int, int]:
    """Write down that all deals of the batch were done, which the server has just said. Returns as `close_log`."""
    return await _write_down(app, automation, log, log["deals"], {})


async def close_log(app: App[AutomationRepos], automation: Automation, log: Document) -> tuple[int, int]:
    """Write down which deals of the batch were done and which failed. Returns how many of each."""
    deals = await app.repos.automation_deals.find_marks(automation.account_id, log["deals"])
    entries = _entries(log)
    settled = [deal for deal in deals if _is_of(entries.get(deal["_id"]), automation, deal)]
    succeeded = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_triggered") or ())]
    failed = [deal["_id"] for deal in settled if automation.id in (deal.get("automation_failed") or ())]
    units = await _parked(app, automation, failed)
    reasons = {deal: units[deal]["last_error"] if deal in units else "failed" for deal in failed}
    unreachable = sum(units.get(deal, {}).get("code") in OF_ONE_RECIPIENT for deal in failed)
    return await _write_down(app, automation, log, succeeded, reasons, unreachable)


async def _write_down(
    app: App[AutomationRepos],
    automation: Automation,
    log: Document,
    succeeded: Sequence[ObjectId],
    failed: Mapping[ObjectId, str],
    unreachable: int = 0,
) -> tuple[int, int]:
    tag = _tag(automation)
    if succeeded and moves_deals(log["type"]):
        await app.shared.events.publish(_stage_changed(automation, log, succeeded))
    await app.repos.automation_logs.close_log(
        dict(log),
        [{"deal": deal, **tag} for deal in succeeded],
        [{"deal": deal, **tag, "message": reason} for deal, reason in failed.items()],
        unreachable,
    )
    return len(succeeded), len(failed)


def _is_of(entry: datetime | None, automation: Automation, deal: Document) -> bool:
    """Whether the marks are of this entry: under `per_entry` they may be of an earlier time in the stage."""
    if automation.reentry == "once":
        return True
    marked = (deal.get("automation_generation") or {}).get(str(automation.id))
    return isinstance(marked, Mapping) and marked.get("entry") == entry


def _entries(log: Document) -> dict[ObjectId, datetime]:
    """{deal: when it entered the stage}, where the log holds it."""
    return dict(zip(log["deals"], log.get("entries", ()), strict=False))


async def _parked(
    app: App[AutomationRepos], automation: Automation, deals: Sequence[ObjectId]
) -> dict[ObjectId, Document]:
    """The units of these deals, which say why they failed."""
    parked = await app.repos.automation_units.find_parked(automation.account_id, automation.id, deals) if deals else []
    return {unit["deal_id"]: unit for unit in parked}


def _tag(automation: Automation) -> dict[str, Any]:
    """The first tag, which the log of a tag automation names beside each deal, malformed as it may be."""
    if automation.type not in ("add_tag", "remove_tag"):
        return {}
    tags = automation.config.get("tags") or [automation.config.get("tag")]
    return {"tag_id": tags[0] if isinstance(tags, list) else tags}


def _stage_changed(automation: Automation, log: Document, deals: Sequence[ObjectId]) -> dict[str, Any]:
    """One event for the batch, with the ids of its deals."""
    data = {"deals": list(deals), "from": log["stage_id"], "to": log["target_stage_id"]}
    return {
        "_id": f"deal.stage_changed:{log['_id']}",
        "type": "deal.stage_changed",
        "account_id": automation.account_id,
        "user_id": automation.created_by,
        "data": {**data, "automation": automation.id},
        "occurred_at": log["createdAt"],
    }
