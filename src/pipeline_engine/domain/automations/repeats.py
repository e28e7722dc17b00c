"""Deals that somebody flagged to be done again become ordinary units of a new generation."""

from __future__ import annotations

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.automation_claim import AutomationClaim
from pipeline_engine.domain.automations.matching import flagged
from pipeline_engine.domain.automations.unit_key import unit_key
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.deal_change import DealChange

LISTS = ("retry_automations", "automation_triggered", "automation_failed", "skip_automations")


async def take_up_repeats(app: App[AutomationRepos], claim: AutomationClaim) -> None:
    """Consume flags, each by one guarded update.

    The watermark goes first: the deals may have entered long ago, and a crash in between must not hide them.
    """
    automation = claim.automation
    query = flagged(automation, app.clock.now())
    while deals := await app.repos.automation_deals.matching(query, app.settings.automation_batch):
        await claim.change(watermark=None)
        await app.repos.automation_units.settle(automation.account_id, [unit_key(automation, deal) for deal in deals])
        changed = await app.repos.automation_deals.change(
            query, [deal["_id"] for deal in deals], new_generation(automation)
        )
        if changed.refused:
            return  # they stay flagged


def new_generation(automation: Automation) -> DealChange:
    """The flag and all marks gone, the unit's generation one higher."""
    mark = [automation.id, str(automation.id)]
    field = f"automation_generation.{automation.id}"
    # Under `once` the field is the number itself; a change of `reentry` may have left the other form there.
    repeats = {"$cond": [{"$isNumber": f"${field}"}, f"${field}", {"$ifNull": [f"${field}.repeats", 0]}]}
    counter = field if automation.reentry == "once" else f"{field}.repeats"
    return DealChange(remove=dict.fromkeys(LISTS, mark), compute={counter: {"$add": [repeats, 1]}})
