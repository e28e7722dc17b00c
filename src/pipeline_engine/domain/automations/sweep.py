"""Finds automations for which a deal is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.matching import flagged
from pipeline_engine.domain.automations.selection import select
from pipeline_engine.domain.unit import Unit, fair
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes import NewJob

RUN = "automation.run"
MOST = 1000
AT_ONCE = 16

log = logs.get(__name__)


async def find(app: App) -> list[Unit]:
    """Ready automations of active accounts with at least one matching deal, every account in turn."""
    ready = [one for one in await app.automations.ready() if one.get("type") in ACTIONS]
    gate = asyncio.Semaphore(AT_ONCE)

    async def has_work(document: Mapping[str, Any]) -> bool:
        async with gate:
            return await _has_work(app, document)

    due = await asyncio.gather(*map(has_work, ready))
    return fair((_unit(one) for one, is_due in zip(ready, due, strict=True) if is_due), MOST)


async def _has_work(app: App, document: Mapping[str, Any]) -> bool:
    try:
        automation = read_automation(document)
    except Permanent as error:
        log.warning("automation cannot be read", automation=str(document["_id"]), error=error)
        return False
    if document.get("run"):
        return True  # a run that has begun is to be ended
    if await app.automation_deals.any(flagged(automation, app.clock.now())):
        return True
    return bool((await select(app, automation, document, limit=1)).deals)


def _unit(document: Mapping[str, Any]) -> Unit:
    id = str(document["_id"])
    lane = f"deals.automations.{document['type']}"
    return Unit(id, str(document.get("account_id")), lane, NewJob(RUN, (id,), id=id))


async def outcomes(app: App, ids: Sequence[str]) -> dict[str, str]:
    """{automation id: succeeded|failed|busy}. Deals that failed do not make the automation fail."""
    states = await app.automations.states([ObjectId(id) for id in ids])
    return {str(id): "busy" if state.get("run") else "succeeded" for id, state in states.items()}
