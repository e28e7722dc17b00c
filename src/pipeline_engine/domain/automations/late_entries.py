"""Deals that entered their stage, as they say, at a time up to which all counts as settled."""

from __future__ import annotations

from typing import Any

from pipeline_engine.app import App
from pipeline_engine.ids import object_id


async def look_anew(app: App, deal_id: Any) -> None:
    """Have the automations of the deal's stage look at all its deals once more."""
    deal = await app.automation_deals.place_of(deal_id)
    account_id, stage_id = (object_id(deal.get(name)) if deal else None for name in ("account_id", "stage_id"))
    if account_id and stage_id:
        await app.automations.forget_watermarks(account_id, stage_id)
