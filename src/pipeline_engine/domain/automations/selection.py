"""The next deals of an automation: what is due and was not looked at before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import Guarded
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.matching import fresh, others_first

FULL_LOOK = timedelta(hours=1)
"""After so long, and after every edit, all deals of the stage are looked at, not only those that entered since."""


@dataclass(frozen=True)
class Selection:
    deals: Sequence[Mapping[str, Any]]
    query: Mapping[str, Any]
    looked_at: datetime
    full: bool
    again_at: datetime | None
    """When the first deal that failed is to be tried again."""


async def select(app: App, automation: Automation, held: Mapping[str, Any], limit: int) -> Selection:
    """Deals that match now, those that wait for another attempt excepted."""
    now = app.clock.now()
    settled_until = watermark(held, automation, now)
    query = {**fresh(automation, now, settled_until), **await _others(app, automation, now)}
    pending = await app.automation_units.pending(automation.account_id, automation.id)
    waiting = [unit for unit in pending if unit["next_at"] > now]
    deals = await app.automation_deals.matching(query, limit, [unit["deal_id"] for unit in waiting])
    again_at = waiting[0]["next_at"] if waiting else None
    return Selection(deals, query, now, full=settled_until is None, again_at=again_at)


def watermark(held: Mapping[str, Any], automation: Automation, now: datetime) -> datetime | None:
    """Up to which time of entry all deals are settled; None when a full look is due."""
    mark = held.get("watermark")
    if not mark or mark["shape"] != automation.shape or mark["looked_at"] < now - FULL_LOOK:
        return None
    settled: datetime = mark["settled_until"]
    return settled


async def _others(app: App, automation: Automation, now: datetime) -> dict[str, Any]:
    action = ACTIONS[automation.type]
    if not isinstance(action, Guarded) or not action.moves:
        return {}
    config = automation.config
    siblings = await app.automations.siblings(config["account_id"], config["stage_id"])
    return others_first([read_automation(one) for one in siblings if one["_id"] != automation.id], now)
