"""Deals that somebody flagged to be done again become ordinary units of a new generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.automations.automation import Automation
from pipeline_engine.domain.automations.matching import flagged
from pipeline_engine.domain.automations.unit_key import unit_key
from pipeline_engine.errors import Stale
from pipeline_engine.repos.automation_deals import without

BATCH = 200
LISTS = ("retry_automations", "automation_triggered", "automation_failed", "skip_automations")


async def take_up_repeats(app: App, automation: Automation, held: Mapping[str, Any]) -> int:
    """Consume flags, each by one guarded update. Returns how many.

    The watermark goes first: the deals may have entered long ago, and a crash in between must not hide them.
    """
    query = flagged(automation, app.clock.now())
    deals = await app.automation_deals.matching(query, BATCH)
    if not deals:
        return 0
    if await app.automations.change(held, {"watermark": None}) is None:
        raise Stale(f"automation {automation.id} was taken over")
    await app.automation_units.settle(automation.account_id, [unit_key(automation, deal) for deal in deals])
    return await app.automation_deals.change(query, [deal["_id"] for deal in deals], _new_generation(automation))


def _new_generation(automation: Automation) -> dict[str, Any]:
    lists: dict[str, Any] = {}
    for name in LISTS:
        lists |= without(name, automation.id)
    field = f"automation_generation.{automation.id}"
    counter = field if automation.reentry == "once" else f"{field}.repeats"
    return {**lists, counter: {"$add": [{"$ifNull": [f"${counter}", 0]}, 1]}}
