"""Finds automations for which a deal is due."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.automations.actions.table import ACTIONS
from pipeline_engine.domain.automations.automation import read_automation
from pipeline_engine.domain.automations.jobs import unit_of
from pipeline_engine.domain.automations.selection import anything_due
from pipeline_engine.domain.unit import Unit, fair
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.automation_repos import AutomationRepos
from pipeline_engine.repos.client import is_away

MAX_FOUND = 1000
MAX_CONCURRENT_LOOKS = 16

log = logs.get(__name__)


async def find(app: App[AutomationRepos]) -> list[Unit]:
    """Ready automations of active accounts with at least one matching deal; accounts take turns."""
    return await _due(app, await app.repos.automations.find_ready())


async def find_due_in(app: App[AutomationRepos], stages: Collection[Any]) -> list[Unit]:
    """As `find`, only for the automations of these stages, in which a deal has just become due."""
    return await _due(app, await app.repos.automations.find_ready_in(stages))


async def _due(app: App[AutomationRepos], automations: Sequence[Mapping[str, Any]]) -> list[Unit]:
    ready = [one for one in automations if str(one.get("type")) in ACTIONS]
    gate = asyncio.Semaphore(MAX_CONCURRENT_LOOKS)

    async def is_due(document: Mapping[str, Any]) -> bool:
        async with gate:
            return await _is_due(app, document)

    due = await asyncio.gather(*map(is_due, ready))
    return fair((unit_of(one) for one, is_due in zip(ready, due, strict=True) if is_due), MAX_FOUND)


async def _is_due(app: App[AutomationRepos], document: Mapping[str, Any]) -> bool:
    """Whether a deal of the automation is due.

    An unexpected error is logged and counts as yes: the run meets it again and names it in the document.
    """
    if document.get("run") or not isinstance(document["_id"], ObjectId):
        return True  # a run that has begun must be ended; an id of another type is set aside by the engine
    try:
        return await anything_due(app, read_automation(document), document)
    except Permanent:
        return True  # the run reports what is wrong with the automation
    except Exception as error:
        if is_away(error):
            raise
        log.warning("automation.check_failed", automation=str(document["_id"]), exc_info=True)
        return True


async def find_abandoned(app: App[AutomationRepos]) -> list[Unit]:
    """Automations whose run waits for its next slice, whatever became of their type. Most of their jobs are in their
    lane already; after a crash they are not."""
    return [unit_of(one) for one in await app.repos.automations.find_abandoned()]


async def outcomes(app: App[AutomationRepos], ids: Sequence[str]) -> dict[str, str]:
    """{automation id: succeeded|failed|busy}.

    An automation has failed when it could not run at all; failed deals do not count.
    """
    states = await app.repos.automations.states([ObjectId(id) for id in ids], "run", "paused_until", "brake")
    now = app.clock.now()
    return {str(id): _outcome(state, now) for id, state in states.items()}


def _outcome(state: Mapping[str, Any], now: datetime) -> str:
    if state.get("run"):
        return "busy"
    paused = state.get("paused_until")
    return "failed" if paused and paused > now and not state.get("brake") else "succeeded"
