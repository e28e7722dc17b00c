"""The next deals of an automation: what is due and was not looked at before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import moves, needs
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import Automation, read_automation
from pipeline_engine.domain.automations.matching import flagged, fresh, others_first
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.automation_repos import AutomationRepos

FULL_LOOK = timedelta(hours=1)
"""After so long, after every edit, and where no change stream is heard, all deals of the stage are looked at, not only
the newer ones."""
LAG = timedelta(minutes=1)
"""Deals whose entry is younger than this are looked at again: their writes may still be on the way."""


@dataclass(frozen=True)
class Selection:
    """`deals` in the order in which they entered the stage."""

    at: datetime
    deals: Sequence[Mapping[str, Any]]
    query: Mapping[str, Any]
    again_at: datetime | None
    """When the first deal that failed is to be tried again."""
    full: bool
    """All deals of the stage were looked at."""
    watermark: Mapping[str, Any] | None
    """When there are no deals: up to which entry all are settled; None when that cannot be said."""

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The next look goes on behind this deal or, when there was none, begins anew."""
        return self.deals[-1] if self.deals else None


async def select(
    app: App[AutomationRepos],
    automation: Automation,
    held: Mapping[str, Any],
    limit: int,
    behind: Mapping[str, Any] | None = None,
) -> Selection:
    """Deals that match now, those that wait for another attempt excepted; `behind`: only those that come after it."""
    now = app.clock.now()
    known = _still_true(app, held, automation, now)
    query = {**fresh(automation, now, known), **await _others(app, automation, now)}
    pending = await app.repos.automation_units.pending(automation.account_id, automation.id)
    waiting = [unit for unit in pending if unit["next_at"] > now]
    later, fields = [unit["deal_id"] for unit in waiting], needs(ACTIONS[automation.type])
    deals = await app.repos.automation_deals.matching(query, limit, later, behind, fields)
    # A mover's deals leave the stage, and what still waits for others must not be lost from sight.
    keep = not (behind or waiting or moves(ACTIONS[automation.type]))
    mark = _mark(automation, now, held["watermark"]["looked_at"] if known else now)
    again_at = waiting[0]["next_at"] if waiting else None
    return Selection(now, deals, query, again_at, full=not (behind or known), watermark=mark if keep else None)


async def anything_due(app: App[AutomationRepos], automation: Automation, document: Mapping[str, Any]) -> bool:
    """Whether a run would find something to do; `document` is the automation as it stands while nobody holds it."""
    now = app.clock.now()
    if automation.until(now) < automation.since:
        return False  # createdAt + delay has not passed
    if await app.repos.automation_deals.any(flagged(automation, now)):
        return True
    selection = await select(app, automation, document, limit=1)
    if not selection.deals and selection.full and selection.watermark:
        await app.repos.automations.keep_watermark(document, selection.watermark)
    return bool(selection.deals)


def watermark(held: Mapping[str, Any], automation: Automation, now: datetime) -> datetime | None:
    """Up to which time of entry all deals are settled; None when a full look is due."""
    mark = held.get("watermark")
    if not mark or mark["shape"] != automation.shape or mark["looked_at"] < now - FULL_LOOK:
        return None
    settled: datetime = mark["settled_until"]
    return settled


def _still_true(
    app: App[AutomationRepos], held: Mapping[str, Any], automation: Automation, now: datetime
) -> datetime | None:
    """The watermark, if since the last full look we would have heard of deals that enter with a time long past."""
    settled, since = watermark(held, automation, now), app.changes.complete_since(automation.stage_id)
    return settled if settled and since and held["watermark"]["looked_at"] >= since else None


def _mark(automation: Automation, now: datetime, looked_at: datetime) -> dict[str, Any]:
    return {"shape": automation.shape, "settled_until": automation.until(now) - LAG, "looked_at": looked_at}


async def _others(app: App[AutomationRepos], automation: Automation, now: datetime) -> dict[str, Any]:
    if not moves(ACTIONS[automation.type]):
        return {}
    stage = await app.repos.automations.siblings(automation.account_id, automation.stage_id)
    return others_first([one for document in stage if (one := _to_wait_for(document))], now)


def _to_wait_for(document: Mapping[str, Any]) -> Automation | None:
    """An automation that will run and leave the deal where it is; one that cannot run is not waited for."""
    action = ACTIONS.get(str(document.get("type")))
    try:
        return None if action is None or moves(action) else read_automation(document)
    except Permanent:
        return None
