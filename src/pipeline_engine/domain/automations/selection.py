"""The next deals of an automation: what is due, and what was flagged to be done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.action import RUN_FIELDS, needed_fields
from pipeline_engine.domain.automations.actions.table import ACTIONS, moves_deals
from pipeline_engine.domain.automations.automation import Automation, read_or_fault
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.marks import new_generation, unit_key
from pipeline_engine.domain.automations.matching import flagged, fresh, others_first
from pipeline_engine.repos.automation_repos import AutomationRepos

FULL_SELECTION_PERIOD = timedelta(hours=1)
"""All deals of the stage are looked at, not only the newer ones, once in this time, after every edit of the automation,
and where no change stream is available."""
WRITE_LAG = timedelta(minutes=1)
"""Deals whose entry is younger than this are looked at again: their writes may still be on the way."""


@dataclass(frozen=True)
class Selection:
    """`deals` in the order in which they entered the stage."""

    at: datetime
    deals: Sequence[Mapping[str, Any]]
    query: Mapping[str, Any]
    again_at: datetime | None
    """When the first deal that failed is tried again."""
    full: bool
    """Whether all deals of the stage were looked at."""
    watermark: Mapping[str, Any] | None
    """When there are no deals: the entry up to which all are settled; None when that is not known."""

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The deal behind which the next selection continues; without one it begins anew."""
        return self.deals[-1] if self.deals else None


async def select(
    app: App[AutomationRepos],
    automation: Automation,
    held: Mapping[str, Any],
    limit: int,
    behind: Mapping[str, Any] | None = None,
) -> Selection:
    """At most `limit` deals that match now and do not wait for another attempt.

    `held`: the automation's document as the run has it; `behind`: only deals that come after this one.
    """
    now = app.clock.now()
    known = _still_true(app, held, automation, now)
    query = {**fresh(automation, now, known), **others_first(await automations_ahead(app, automation), now)}
    pending = await app.repos.automation_units.find_pending(automation.account_id, automation.id, "deal_id", "next_at")
    waiting = [unit for unit in pending if unit["next_at"] > now]
    later, fields = [unit["deal_id"] for unit in waiting], needed_fields(ACTIONS[automation.type])
    deals = await app.repos.automation_deals.find_matching(query, limit, later, behind, fields)
    # An automation that moves deals skips those that wait for others, so it can never say that all are settled.
    keep = not (behind or waiting or moves_deals(automation.type))
    mark = _mark(automation, now, held["watermark"]["looked_at"] if known else now)
    again_at = waiting[0]["next_at"] if waiting else None
    return Selection(now, deals, query, again_at, full=not (behind or known), watermark=mark if keep else None)


async def anything_due(app: App[AutomationRepos], automation: Automation, document: Mapping[str, Any]) -> bool:
    """Whether a run would find something to do; `document` is the automation as it stands while no run holds it."""
    now = app.clock.now()
    if automation.until(now) < automation.since:
        return False  # createdAt + delay has not passed
    if await app.repos.automation_deals.any_match(flagged(automation, now)):
        return True
    selection = await select(app, automation, document, limit=1)
    if not selection.deals and selection.full and selection.watermark:
        await app.repos.automations.save_watermark(document, selection.watermark)
    return bool(selection.deals)


def watermark(held: Mapping[str, Any], automation: Automation, now: datetime) -> datetime | None:
    """The time of entry up to which all deals are settled; None when all are to be looked at."""
    mark = held.get("watermark") or {}
    settled: datetime | None = mark.get("settled_until")
    looked_at = mark.get("looked_at")
    if mark.get("shape") != automation.shape or looked_at is None or looked_at < now - FULL_SELECTION_PERIOD:
        return None
    return settled


def _still_true(
    app: App[AutomationRepos], held: Mapping[str, Any], automation: Automation, now: datetime
) -> datetime | None:
    """The watermark, if the change stream was open ever since the last full selection: it reports deals that enter with
    a time long past."""
    settled, since = watermark(held, automation, now), app.changes.complete_since(automation.stage_id)
    return settled if settled and since and held["watermark"]["looked_at"] >= since else None


def _mark(automation: Automation, now: datetime, looked_at: datetime) -> dict[str, Any]:
    return {"shape": automation.shape, "settled_until": automation.until(now) - WRITE_LAG, "looked_at": looked_at}


async def automations_ahead(app: App[AutomationRepos], automation: Automation) -> list[Automation]:
    """The automations of the stage that come first because this one moves deals away; none if it does not."""
    if not moves_deals(automation.type):
        return []
    stage = await app.repos.automations.siblings(automation.account_id, automation.stage_id)
    stay = [one for one in stage if str(one.get("type")) in ACTIONS and not moves_deals(one.get("type"))]
    # One that cannot be read cannot run, so it is not waited for.
    return [one for document in stay if isinstance(one := read_or_fault(document), Automation)]


async def take_up_repeats(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """Make deals that are flagged to be done again ordinary units of a new generation, each by one guarded update."""
    automation = claim.automation
    query = flagged(automation, app.clock.now())
    while deals := await app.repos.automation_deals.find_matching(
        query, app.settings.automation_batch, fields=RUN_FIELDS
    ):
        # The watermark goes first: the deals may have entered long ago, and a crash in between must not hide them.
        await claim.change(watermark=None)
        await app.repos.automation_units.remove(automation.account_id, [unit_key(automation, deal) for deal in deals])
        changed = await app.repos.automation_deals.apply_change(
            query, [deal["_id"] for deal in deals], new_generation(automation)
        )
        if changed.refused:
            return  # they stay flagged
